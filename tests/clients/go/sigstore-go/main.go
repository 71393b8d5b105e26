// sigstore-go, spoken to as tests/clients/README.md says.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/encoding/protojson"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1)
	}
}

func run(words []string) error {
	if len(words) < 5 {
		return errors.New("see tests/clients/README.md")
	}
	verb, words := words[0], words[1:]
	trust, err := load(words[0])
	if err != nil {
		return err
	}
	content, err := os.ReadFile(words[len(words)-2])
	if err != nil {
		return err
	}
	file := words[len(words)-1]
	switch verb {
	case "sign":
		return trust.sign(&sign.PlainData{Data: content}, words[1], file)
	case "attest":
		statement := &sign.DSSEData{Data: content, PayloadType: "application/vnd.in-toto+json"}
		return trust.sign(statement, words[1], file)
	default:
		return trust.verify(words[1], words[2], content, file)
	}
}

// trust is what the instance serves, as files or as a TUF repository.
type trust struct {
	root   *root.TrustedRoot
	config *root.SigningConfig
}

func load(folder string) (*trust, error) {
	mirror, err := os.ReadFile(filepath.Join(folder, "mirror"))
	if err == nil {
		return loadMirror(strings.TrimSpace(string(mirror)), filepath.Join(folder, "root.json"))
	}
	trustedRoot, err := root.NewTrustedRootFromPath(filepath.Join(folder, "trusted_root.json"))
	if err != nil {
		return nil, err
	}
	config, err := root.NewSigningConfigFromPath(filepath.Join(folder, "signing_config.json"))
	return &trust{trustedRoot, config}, err
}

func loadMirror(url, rootFile string) (*trust, error) {
	first, err := os.ReadFile(rootFile)
	if err != nil {
		return nil, err
	}
	options := &tuf.Options{Root: first, RepositoryBaseURL: url, DisableLocalCache: true}
	client, err := tuf.New(options)
	if err != nil {
		return nil, err
	}
	trustedRoot, err := root.GetTrustedRoot(client)
	if err != nil {
		return nil, err
	}
	config, err := root.GetSigningConfig(client)
	return &trust{trustedRoot, config}, err
}

func (t *trust) sign(content sign.Content, token, file string) error {
	keypair, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return err
	}
	options := sign.BundleOptions{TrustedRoot: t.root, Context: context.Background()}
	options.CertificateProviderOptions = &sign.CertificateProviderOptions{IDToken: token}
	if err := t.services(&options); err != nil {
		return err
	}
	made, err := sign.Bundle(content, keypair, options)
	if err != nil {
		return err
	}
	text, err := protojson.Marshal(made)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// services names the authority, the timestamp authority and the signature log of the signing config.
func (t *trust) services(options *sign.BundleOptions) error {
	const patience = 30 * time.Second
	now := time.Now()
	authority, err := root.SelectService(
		t.config.FulcioCertificateAuthorityURLs(), sign.FulcioAPIVersions, now)
	if err != nil {
		return err
	}
	options.CertificateProvider = sign.NewFulcio(
		&sign.FulcioOptions{BaseURL: authority.URL, Timeout: patience})

	timestamps, err := root.SelectServices(t.config.TimestampAuthorityURLs(),
		t.config.TimestampAuthorityURLsConfig(), sign.TimestampAuthorityAPIVersions, now)
	if err != nil {
		return err
	}
	for _, one := range timestamps {
		options.TimestampAuthorities = append(options.TimestampAuthorities,
			sign.NewTimestampAuthority(
				&sign.TimestampAuthorityOptions{URL: one.URL, Timeout: patience}))
	}

	logs, err := root.SelectServices(t.config.RekorLogURLs(),
		t.config.RekorLogURLsConfig(), sign.RekorAPIVersions, now)
	if err != nil {
		return err
	}
	for _, one := range logs {
		options.TransparencyLogs = append(options.TransparencyLogs, sign.NewRekor(
			&sign.RekorOptions{BaseURL: one.URL, Timeout: patience, Version: one.MajorAPIVersion}))
	}
	return nil
}

func (t *trust) verify(identity, issuer string, content []byte, file string) error {
	read, err := bundle.LoadJSONFromPath(file)
	if err != nil {
		return err
	}
	who, err := verify.NewShortCertificateIdentity(issuer, "", identity, "")
	if err != nil {
		return err
	}
	verifier, err := verify.NewVerifier(t.root, verify.WithSignedCertificateTimestamps(1),
		verify.WithTransparencyLog(1), verify.WithSignedTimestamps(1))
	if err != nil {
		return err
	}
	artifact := verify.WithArtifact(strings.NewReader(string(content)))
	_, err = verifier.Verify(read, verify.NewPolicy(artifact, verify.WithCertificateIdentity(who)))
	return err
}
