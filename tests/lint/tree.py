"""The files of this checkout."""
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def tracked():
    """What git tracks or would; without git, or in an unpacked archive, all that is no product of a build."""
    if shutil.which("git"):
        out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
        if out.returncode == 0:
            return [line for line in out.stdout.splitlines() if (ROOT / line).is_file()]
    skip = {"build", ".git", "node_modules", "__pycache__"}
    return [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.is_file() and not skip & set(p.relative_to(ROOT).parts)]
