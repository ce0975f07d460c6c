"""install-model, run as real processes under dash and under busybox with nothing but its applets."""

import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from paravec_model.artifact import Artifact, read_manifest, verify
from paravec_model.artifact.manifest import FileEntry
from paravec_model.artifact.writer import file_sha256

SCRIPT = Path(__file__).parents[2] / "model/image/install-model"

Install = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session", params=["dash", "busybox"])
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, str]]:
    """A shell's command line, and the environment that goes with it."""
    found = shutil.which(request.param)
    if found is None:
        pytest.skip(f"{request.param} is not installed")
    if request.param == "dash":
        return [found], {"PATH": "/usr/bin:/bin"}
    applets = tmp_path_factory.mktemp("applets")
    for name in subprocess.run([found, "--list"], capture_output=True, text=True, check=True).stdout.split():
        (applets / name).symlink_to(found)
    return [found, "sh"], {"PATH": str(applets)}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An empty store, whose path has a space."""
    path = tmp_path / "the store"
    path.mkdir()
    return path


@pytest.fixture
def link(tmp_path: Path) -> Path:
    """Where the link to the model is to be."""
    return tmp_path / "run" / "model"


@pytest.fixture
def start(shell: tuple[list[str], dict[str, str]]) -> Callable[..., "subprocess.Popen[str]"]:
    """Start install-model, in a process group of its own."""

    def start(*arguments: Path | str, **options: object) -> "subprocess.Popen[str]":
        command, environment = shell
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            [*command, str(SCRIPT), *map(str, arguments)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )

    return start


@pytest.fixture
def install(start: Callable[..., "subprocess.Popen[str]"]) -> Install:
    """Run install-model to its end."""

    def install(*arguments: Path | str, **options: object) -> "subprocess.CompletedProcess[str]":
        process = start(*arguments, **options)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    return install


@pytest.fixture
def source(artifact: Artifact, tmp_path: Path) -> Path:
    """A copy of a real artifact, as it lies in the model's image."""
    path = tmp_path / "usr src" / "d2v_model"
    shutil.copytree(artifact.path, path)
    return path


def variant(source: Path, target: Path, *, payload: int = 0, **changes: str) -> Path:
    """Another model beside `source`: other fields in the manifest, and `payload` random bytes in one file more."""
    shutil.copytree(source, target)
    manifest = read_manifest(source)
    files = dict(manifest.files)
    if payload:
        (target / "payload.npy").write_bytes(random.Random(1).randbytes(payload))
        files["payload.npy"] = FileEntry(payload, file_sha256(target / "payload.npy"))
    manifest = replace(manifest, files=files, digest="", **changes)  # type: ignore[arg-type]
    (target / "manifest.json").write_text(manifest.to_json())
    return target


def entry_of(source: Path) -> str:
    """The name under which a model with a plain name and version lies in the store."""
    manifest = read_manifest(source)
    return f"{manifest.name}-{manifest.version}-{manifest.digest.removeprefix('sha256:')[:12]}"


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def same(one: Path, other: Path) -> bool:
    """All files that the manifest at `one` names have the same bytes in both."""
    names = ["manifest.json", *read_manifest(one).files]
    return all((other / name).is_file() and (one / name).read_bytes() == (other / name).read_bytes() for name in names)


def one_line(result: "subprocess.CompletedProcess[str]") -> str:
    """The one line that a failed run must have written."""
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("install-model: ")
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mount a tmpfs, with options; it is gone at the end of the test."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    places: list[Path] = []

    def mount(options: str) -> Path:
        place = tmp_path / f"mount{len(places)}"
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"mount is not permitted here: {done.stderr.decode().strip()}")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", place], check=True)


def test_a_model_is_copied_and_linked(install: Install, source: Path, store: Path, link: Path) -> None:
    """The store then holds the model alone, sound by paravec-model's own check, and the link leads to it."""
    result = install(source, store, link)
    assert (result.returncode, result.stderr) == (0, "")
    assert entry_of(source).rpartition("-")[2] in result.stdout
    assert [p.name for p in store.iterdir()] == [entry_of(source)]
    assert link.readlink() == store / entry_of(source)
    assert [p.name for p in link.parent.iterdir()] == ["model"]
    assert verify(link) == []


def test_a_model_that_is_there_is_not_read_again(install: Install, source: Path, store: Path, link: Path) -> None:
    """The second pod needs no byte of the arrays, neither in the image nor in the store."""
    install(source, store, link)
    before = {p.name: p.stat() for p in (store / entry_of(source)).iterdir()}
    (source / "syn1neg.npy").unlink()
    other = link.parent / "second"
    result = install(source, store, other)
    assert (result.returncode, result.stderr) == (0, "")
    assert other.readlink() == store / entry_of(source)
    after = {p.name: p.stat() for p in (store / entry_of(source)).iterdir()}
    assert {n: s.st_ino for n, s in before.items()} == {n: s.st_ino for n, s in after.items()}


def test_twenty_pods_at_once(
    start: Callable[..., "subprocess.Popen[str]"], source: Path, store: Path, tmp_path: Path
) -> None:
    """All succeed, one copy remains, and whoever follows a link at any moment finds the whole model."""
    big = variant(source, tmp_path / "big", payload=8 * 2**20)
    sizes = {name: entry.size for name, entry in read_manifest(big).files.items()}
    links = [tmp_path / "runs" / str(i) / "model" for i in range(20)]
    incomplete: list[str] = []
    seen = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal seen
        while not done.is_set():
            for link in links:
                if link.is_symlink():
                    found = {name: (link / name).stat().st_size for name in sizes}
                    seen += 1
                    if found != sizes:
                        incomplete.append(str(found))

    watcher = threading.Thread(target=watch)
    watcher.start()
    pods = [start(big, store, link) for link in links]
    ends = [pod.communicate(timeout=120)[1] for pod in pods]
    done.set()
    watcher.join()
    assert [pod.returncode for pod in pods] == [0] * 20, ends
    assert seen
    assert incomplete == []
    assert [p.name for p in store.iterdir()] == [entry_of(big)]
    assert all(same(big, link) for link in links)


def test_killed_at_any_moment(
    start: Callable[..., "subprocess.Popen[str]"], install: Install, source: Path, store: Path, tmp_path: Path
) -> None:
    """What is seen under the model's name is whole after every kill, and the next run cleans up."""
    big = variant(source, tmp_path / "big", payload=16 * 2**20)
    moments = random.Random(7)
    for i in range(15):
        pod = start(big, store, tmp_path / "run" / "model")
        time.sleep(moments.uniform(0, 0.15))
        # Sometimes the shell alone, whose cp then goes on as an orphan.
        os.killpg(pod.pid, signal.SIGKILL) if i % 3 else pod.kill()
        pod.communicate(timeout=60)
        final = store / entry_of(big)
        assert not final.exists() or same(big, final)
        if i % 5 == 4:
            shutil.rmtree(final, ignore_errors=True)
    assert install(big, store, tmp_path / "run" / "model").returncode == 0
    assert same(big, tmp_path / "run" / "model")
    install(big, store, tmp_path / "run" / "model")
    assert [p.name for p in store.iterdir()] == [entry_of(big)]


def test_a_stop_ends_it_and_leaves_nothing(
    start: Callable[..., "subprocess.Popen[str]"], source: Path, store: Path, tmp_path: Path
) -> None:
    """SIGTERM, which a pod gets that is deleted while it copies, ends the run with 143 and an empty store."""
    big = variant(source, tmp_path / "big", payload=64 * 2**20)
    pod = start(big, store, tmp_path / "run" / "model")
    while not list(store.glob(".install-*/*/payload.npy")):
        time.sleep(0.001)
        assert pod.poll() is None
    pod.terminate()
    pod.communicate(timeout=60)
    assert pod.returncode == 143
    assert list(store.iterdir()) == []


def test_a_full_store(install: Install, source: Path, mounted: Callable[..., Path], tmp_path: Path) -> None:
    """The line says what the model takes and what is free, and the store is as it was."""
    big = variant(source, tmp_path / "big", payload=2 * 2**20)
    store = mounted("size=1m")
    assert "KiB are free" in one_line(install(big, store, tmp_path / "run" / "model"))
    assert list(store.iterdir()) == []
    assert not (tmp_path / "run" / "model").is_symlink()


def test_a_store_that_fills_up_on_the_way(
    install: Install, source: Path, mounted: Callable[..., Path], tmp_path: Path
) -> None:
    """Where free space does not tell (here: no more files), the copy fails with the reason and leaves nothing."""
    store = mounted("size=64m,nr_inodes=5")
    assert "No space left on device" in one_line(install(source, store, tmp_path / "run" / "model"))
    assert list(store.iterdir()) == []


def test_a_read_only_store(install: Install, source: Path, mounted: Callable[..., Path], tmp_path: Path) -> None:
    """It serves a model that it holds; that it lacks one is a line that says so."""
    store = mounted("size=64m")
    assert install(source, store, tmp_path / "run" / "model").returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", store], check=True)
    result = install(source, store, tmp_path / "run" / "again")
    assert (result.returncode, result.stderr) == (0, "")
    other = variant(source, tmp_path / "other", version="2")
    assert "Read-only file system" in one_line(install(other, store, tmp_path / "run" / "other"))


def test_a_store_of_somebody_else(install: Install, source: Path, tmp_path: Path) -> None:
    """A user who may not write there is told who they are."""
    if os.geteuid() != 0:
        pytest.skip("changing the user takes root")
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_mode & 0o005 != 0o005:
            path.chmod(path.stat().st_mode | 0o005)
        if path == Path("/tmp"):
            break
    store, run = tmp_path / "store", tmp_path / "run"
    store.mkdir(mode=0o755)
    run.mkdir()
    run.chmod(0o777)
    error = one_line(install(source, store, run / "model", user=10001, group=10001, extra_groups=[]))
    assert "user 10001" in error
    assert "Permission denied" in error


def test_a_damaged_image(install: Install, source: Path, store: Path, link: Path) -> None:
    """It names the file in the image; the store stays empty, and there is no link."""
    flip(source / "syn1neg.npy")
    error = one_line(install(source, store, link))
    assert str(source) in error
    assert "syn1neg.npy" in error
    assert list(store.iterdir()) == []
    assert not link.is_symlink()


@pytest.mark.parametrize("spoil", [flip, Path.unlink, lambda path: path.write_text("{}")])
def test_a_damaged_manifest(
    install: Install, source: Path, store: Path, link: Path, spoil: Callable[[Path], object]
) -> None:
    """Nothing of an image without a sound manifest reaches the store."""
    spoil(source / "manifest.json")
    assert "manifest.json" in one_line(install(source, store, link))
    assert list(store.iterdir()) == []


def test_a_manifest_cannot_lead_elsewhere(
    install: Install, source: Path, store: Path, link: Path, tmp_path: Path
) -> None:
    """File names that leave the folder are refused."""
    manifest = read_manifest(source)
    evil = replace(manifest, digest="", files={"../../evil": FileEntry(1, "0" * 64)})
    (source / "manifest.json").write_text(evil.to_json())
    assert "no artifact has" in one_line(install(source, store, link))


def become_a_file(folder: Path) -> None:
    """Put an empty file where a folder was."""
    shutil.rmtree(folder)
    folder.touch()


def empty(folder: Path) -> None:
    """Delete the files of a folder."""
    for file in folder.iterdir():
        file.unlink()


SPOILERS: dict[str, Callable[[Path], object]] = {
    "a flipped bit": lambda copy: flip(copy / "syn1neg.npy"),
    "a truncated file": lambda copy: os.truncate(copy / "syn1neg.npy", 100),
    "a missing file": lambda copy: shutil.move(copy / "vocabulary_text.npy", copy / "elsewhere"),
    "a damaged manifest": lambda copy: flip(copy / "manifest.json"),
    "an empty folder": empty,
    "a file in its place": become_a_file,
}


@pytest.mark.parametrize("spoiled", SPOILERS)
def test_a_damaged_copy_is_replaced(install: Install, source: Path, store: Path, link: Path, spoiled: str) -> None:
    """A copy that somebody wrote to is found, said and replaced."""
    install(source, store, link)
    SPOILERS[spoiled](store / entry_of(source))
    result = install(source, store, link)
    assert result.returncode == 0
    assert "replaced" in result.stderr
    assert [p.name for p in store.iterdir()] == [entry_of(source)]
    assert verify(link) == []


def test_twenty_pods_replace_a_damaged_copy(
    start: Callable[..., "subprocess.Popen[str]"], install: Install, source: Path, store: Path, tmp_path: Path
) -> None:
    """Whoever comes second finds it replaced, and all succeed."""
    big = variant(source, tmp_path / "big", payload=8 * 2**20)
    install(big, store, tmp_path / "first/model")
    flip(store / entry_of(big) / "syn1neg.npy")
    links = [tmp_path / "runs" / str(i) / "model" for i in range(20)]
    pods = [start(big, store, link) for link in links]
    ends = [pod.communicate(timeout=120)[1] for pod in pods]
    assert [pod.returncode for pod in pods] == [0] * 20, ends
    assert [p.name for p in store.iterdir()] == [entry_of(big)]
    assert all(same(big, link) for link in links)


def test_a_damaged_copy_makes_room_if_there_is_none_for_both(
    install: Install, source: Path, mounted: Callable[..., Path], tmp_path: Path
) -> None:
    """Else it would stay for ever on a volume that is as large as the model."""
    big = variant(source, tmp_path / "big", payload=8 * 2**20)
    store, link = mounted("size=12m"), tmp_path / "run/model"
    assert install(big, store, link).returncode == 0
    flip(store / entry_of(big) / "syn1neg.npy")
    assert install(big, store, link).returncode == 0
    assert same(big, link)


def test_a_sound_copy_from_elsewhere_is_taken(install: Install, source: Path, store: Path, link: Path) -> None:
    """A copy that was restored from a backup is read once, and then known."""
    shutil.copytree(source, store / entry_of(source))
    inode = (store / entry_of(source) / "syn1neg.npy").stat().st_ino
    assert "hashes are right" in install(source, store, link).stdout
    assert "hashes are right" not in install(source, store, link).stdout
    assert (link / "syn1neg.npy").stat().st_ino == inode


def test_versions_lie_side_by_side(install: Install, source: Path, store: Path, link: Path, tmp_path: Path) -> None:
    """A newer model leaves the older in place, and going back copies nothing."""
    newer = variant(source, tmp_path / "newer", version="2")
    install(source, store, link)
    inode = (link / "syn1neg.npy").stat().st_ino
    assert install(newer, store, link).returncode == 0
    assert same(newer, link)
    assert {p.name for p in store.iterdir()} == {entry_of(source), entry_of(newer)}
    assert "was there" in install(source, store, link).stdout
    assert (link / "syn1neg.npy").stat().st_ino == inode


@pytest.mark.parametrize("name", ["dönér 🥙", "a b\"c'd\\e", "$(touch evil);`id`*", "-rf", '"version": "9"'])
def test_odd_names(install: Install, source: Path, store: Path, link: Path, tmp_path: Path, name: str) -> None:
    """Whatever a model is called, it gets a folder with a plain name of its own."""
    odd = variant(source, tmp_path / "odd", name=name, version="1 é")
    result = install(odd, store, link)
    assert (result.returncode, result.stderr) == (0, "")
    assert same(odd, link)
    (entry,) = store.iterdir()
    assert entry.name.isascii()
    assert not set(entry.name) & set(" \"'\\$`*;()")
    assert entry.name.endswith(read_manifest(odd).digest.removeprefix("sha256:")[:12])


def test_what_a_lost_machine_left_is_removed_in_time(install: Install, source: Path, store: Path, link: Path) -> None:
    """A private copy of another host is left alone while it may be alive, and removed after an hour of silence."""
    young, old = store / ".install-pod-a-1", store / ".install-pod-b-1"
    for left in (young, old):
        left.mkdir()
        (left / "syn1neg.npy").write_text("part")
    then = time.time() - 2 * 3600
    for path in (old / "syn1neg.npy", old):
        os.utime(path, (then, then))
    install(source, store, link)
    assert young.is_dir()
    assert not old.exists()


@pytest.mark.parametrize("missing", ["source", "store"])
def test_a_folder_that_is_not_there(install: Install, source: Path, store: Path, link: Path, missing: str) -> None:
    """It is named."""
    (source if missing == "source" else store).rename(link.parent.parent / "away")
    assert str(source if missing == "source" else store) in one_line(install(source, store, link))


def test_wrong_arguments(install: Install) -> None:
    """They show the usage and exit 2."""
    result = install("only one")
    assert result.returncode == 2
    assert "usage" in result.stderr
