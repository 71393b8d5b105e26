// Updates from a TUF repository as sigstore-js does, and prints the trusted root that it has then.
//
//     update.cjs REPOSITORY ROOT FOLDER
const { getTrustedRoot } = require('@sigstore/tuf');
const { TrustedRoot } = require('@sigstore/protobuf-specs');

const [mirrorURL, rootPath, cachePath] = process.argv.slice(2);
getTrustedRoot({ mirrorURL, rootPath, cachePath }).then(
  (root) => console.log(JSON.stringify(TrustedRoot.toJSON(root))),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
