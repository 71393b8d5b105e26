"""Updates from a TUF repository with python-tuf, and says what it has then.

    update.py REPOSITORY ROOT FOLDER

FOLDER keeps what the client knows from one time to the next; ROOT is where it begins.
"""

import json
import sys
from pathlib import Path

from tuf.ngclient import Updater

repository, root, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
(folder / "targets").mkdir(parents=True, exist_ok=True)
updater = Updater(
    metadata_dir=str(folder),
    metadata_base_url=repository,
    target_base_url=f"{repository}/targets/",
    target_dir=str(folder / "targets"),
    bootstrap=root.read_bytes(),
)
updater.refresh()


def target(name):
    path = updater.download_target(updater.get_targetinfo(name))
    return json.loads(Path(path).read_text())


def version(role):
    return json.loads((folder / f"{role}.json").read_text())["signed"]["version"]


print(json.dumps({
    "versions": [version(role) for role in ("root", "targets", "snapshot", "timestamp")],
    "trusted_root": target("trusted_root.json"),
    "signing_config": target("signing_config.v0.2.json"),
}))
