"""Signed artifacts: what is accepted, and what an attacker may try."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from paravec_model.artifact import Artifact, verify
from paravec_model.cli.main import main
from paravec_model.errors import ArtifactError, OptionError, SignatureError
from paravec_model.signature import Verifier
from paravec_model.signature.bundle import MEDIA_TYPE, parse_bundle
from paravec_model.signature.statement import PREDICATE_TYPE, STATEMENT_TYPE, parse_statement

from ..credentials import Pem
from ..signing import SIGNATURE, Signer, statement, write

NAMES = ("payload", "payloadType", "signatures", "sig", "serialization", "resources", "method", "hash_type", "digest")

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """The one whose models are trusted."""
    return Signer(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def verifier(signer: Signer) -> Verifier:
    """What checks that it signed."""
    return Verifier.read(signer.key)


@pytest.fixture
def signed(artifact: Artifact, signer: Signer, tmp_path: Path) -> Path:
    """A signed artifact, which a test may change."""
    directory = shutil.copytree(artifact.path, tmp_path / "model")
    signer.sign(directory)
    return directory


def refusal(directory: Path, verifier: Verifier, kind: type[ArtifactError] = SignatureError) -> str:
    """Why an artifact is not opened: one line that names it."""
    with pytest.raises(kind) as caught:
        Artifact.open(directory, signed_by=verifier)
    said = str(caught.value)
    assert verify(directory, signed_by=verifier)[0] == said
    assert said.startswith(str(directory))
    assert "\n" not in said
    assert len(said) < 400 + 3 * len(str(directory))
    return said.removeprefix(str(directory))


def changed(directory: Path, change: Change) -> None:
    """Change the bundle without its key, as an attacker can."""
    bundle = json.loads((directory / SIGNATURE).read_text())
    change(bundle)
    write(directory, bundle)


def resigned(directory: Path, signer: Signer, change: Change) -> None:
    """Sign another statement with the key, as a tool that we do not understand may."""
    content, sound = statement(directory), statement(directory)
    change(content)
    if content["subject"] == sound["subject"]:
        # A digest that is none is refused before the subject is compared.
        with suppress(KeyError, ValueError):
            digests = b"".join(bytes.fromhex(one["digest"]) for one in content["predicate"]["resources"])
            content["subject"][0]["digest"]["sha256"] = hashlib.sha256(digests).hexdigest()
    write(directory, signer.bundle(json.dumps(content).encode()))


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_a_signed_artifact_opens(artifact: Artifact, tmp_path: Path, curve: ec.EllipticCurve) -> None:
    """A signature by a key of each curve is accepted, and the model is the same."""
    directory, signer = shutil.copytree(artifact.path, tmp_path / "model"), Signer(tmp_path / "keys", curve)
    signer.sign(directory)
    verifier = Verifier.read(signer.key)
    assert Artifact.open(directory, signed_by=verifier).manifest == artifact.manifest
    assert verify(directory, signed_by=verifier) == []


def test_who_does_not_ask_needs_no_signature(signed: Path) -> None:
    """Without a key, a signed artifact opens, and so does one whose signature is garbage."""
    Artifact.open(signed, verify=True)
    write(signed, "garbage")
    assert verify(signed) == []


def test_a_key_can_be_replaced(signed: Path, signer: Signer, tmp_path: Path) -> None:
    """Of several keys in the file any may have signed, so the next key is trusted before the last model is gone."""
    following = Signer(tmp_path / "keys", name="next")
    both = tmp_path / "both.pub"
    both.write_bytes(b"the next key\n" + following.key.read_bytes() + signer.key.read_bytes())
    Artifact.open(signed, signed_by=Verifier.read(both))
    following.sign(signed)
    Artifact.open(signed, signed_by=Verifier.read(both))


def test_an_artifact_that_is_not_signed_is_refused(signed: Path, verifier: Verifier) -> None:
    """A stripped signature is one line that says how to sign."""
    (signed / SIGNATURE).unlink()
    assert refusal(signed, verifier).startswith("/model.sig: not found: the artifact is not signed; sign it: model_sig")


def test_another_key_is_refused(signed: Path, verifier: Verifier, tmp_path: Path) -> None:
    """What someone else signed is refused, and the line names the key's file."""
    Signer(tmp_path / "keys").sign(signed)
    assert refusal(signed, verifier).startswith(
        f"/model.sig: was not made by the key in {verifier.source}, or was chan"
    )


def test_the_signature_of_another_model_is_refused(signed: Path, signer: Signer, verifier: Verifier) -> None:
    """A right signature, moved from another model, covers other files."""
    other = signed.parent / "other"
    shutil.copytree(signed, other)
    text = (other / "manifest.json").read_text()
    (other / "manifest.json").write_text(text.replace('"1"', '"2"'))
    shutil.copy(signer.sign(other), signed / SIGNATURE)
    assert refusal(signed, verifier).startswith("/manifest.json: is not the signed one")


def test_a_changed_byte_of_any_file_is_found(signed: Path, verifier: Verifier) -> None:
    """One changed byte, in the last place of any file, is found, and the file or the signature is named."""
    for file in sorted(signed.iterdir()):
        sound = file.read_bytes()
        file.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
        assert refusal(signed, verifier, ArtifactError).startswith(f"/{file.name}: ")
        file.write_bytes(sound)
    Artifact.open(signed, signed_by=verifier)


def test_each_file_must_be_there_and_no_other(signed: Path, verifier: Verifier) -> None:
    """A missing file is named, and so is one more, even if its name spans lines; what git keeps was left out."""
    (signed / ".git").mkdir()
    Artifact.open(signed, signed_by=verifier)
    (signed / "syn1neg.npy").rename(signed.parent / "syn1neg.npy")
    assert refusal(signed, verifier, ArtifactError) == "/syn1neg.npy: is missing"
    (signed.parent / "syn1neg.npy").rename(signed / "syn1neg.npy")
    (signed / "more\nlines").touch()
    assert refusal(signed, verifier).startswith(r": holds 'more\nlines', which is not signed; remove it, or sign")


def test_only_regular_files_are_signed(signed: Path, verifier: Verifier) -> None:
    """A link in an artifact is refused, even to the same bytes; a link to the artifact is how pods reach it."""
    link = signed.parent / "link"
    link.symlink_to(signed)
    Artifact.open(link, signed_by=verifier)
    elsewhere = (signed / "syn1neg.npy").rename(signed.parent / "elsewhere")
    (signed / "syn1neg.npy").symlink_to(elsewhere)
    assert refusal(signed, verifier).startswith("/syn1neg.npy: is not a regular file")


def test_the_manifest_must_be_signed(signed: Path, signer: Signer, verifier: Verifier) -> None:
    """A signature of all files but the manifest is refused: it says what the other files mean."""
    kept = lambda one: one["name"] != "manifest.json"  # noqa: E731
    resigned(signed, signer, lambda s: s["predicate"].update(resources=list(filter(kept, s["predicate"]["resources"]))))
    assert refusal(signed, verifier).startswith(": holds 'manifest.json', which is not signed")
    resigned(
        signed,
        signer,
        lambda s: s["predicate"].update(
            resources=list(filter(kept, s["predicate"]["resources"])),
            serialization=s["predicate"]["serialization"] | {"ignore_paths": ["manifest.json"]},
        ),
    )
    assert refusal(signed, verifier).startswith("/manifest.json: is not the signed one")


def add_resource(**fields: str) -> Change:
    """A change that lists one more file."""
    one = {"name": "more", "algorithm": "sha256", "digest": "0" * 64} | fields
    return lambda s: s["predicate"]["resources"].append(one)


def serialize(**fields: object) -> Change:
    """A change of how the files were listed."""
    return lambda s: s["predicate"]["serialization"].update(fields)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (add_resource(name="README.md"), r": is signed with other files .* lists: 'README.md'"),
        (add_resource(name="../../etc/passwd"), r": is signed with other files .* lists: '../../etc/passwd'"),
        (add_resource(name="/etc/passwd"), ": is signed with other files .* lists: '/etc/passwd'"),
        (add_resource(name="sub/syn1neg.npy"), ": is signed with other files .* lists: 'sub/syn1neg.npy'"),
        (add_resource(name="\ud800\n" * 1000), r": is signed with other files .* lists: '\\ud800\\n"),
        (add_resource(name="syn1neg.npy"), "/model.sig: .*: it lists 'syn1neg.npy' twice; sign the artifact again"),
        (add_resource(digest="0" * 63), "/model.sig: .*: its digest of 'more' is no SHA-256"),
        (add_resource(algorithm="blake2b"), "/model.sig: .*: its digest of 'more' is no SHA-256"),
        (lambda s: s["predicate"]["resources"].append({}), "/model.sig: .*: its name is missing or of a wrong type"),
        (lambda s: s["predicate"].update(resources=[]), ": holds .* which is not signed"),
        (lambda s: s["predicate"].pop("resources"), "its resources is missing or of a wrong type"),
        (serialize(method="shards"), "/model.sig: .*: it lists shards by sha256, not files by sha256"),
        (serialize(hash_type="blake3"), "/model.sig: .*: it lists files by blake3, not files by sha256"),
        (serialize(ignore_paths="all"), "/model.sig: .*: its ignore_paths is of a wrong type"),
        (lambda s: s.update(_type="https://in-toto.io/Statement/v2"), "/model.sig: .*: its _type is"),
        (lambda s: s.update(predicateType="https://model_signing/Digests/v0.1"), "its predicateType is .*Digests/v0.1"),
        (lambda s: s.update(subject=s["subject"] * 2), "it has 2 subjects, not one"),
        (lambda s: s.update(subject=[{"name": "x", "digest": {"sha256": "0" * 64}}]), "its subject does not belong"),
    ],
)
def test_a_signed_statement_that_is_not_of_these_files_is_refused(
    signed: Path, signer: Signer, verifier: Verifier, change: Change, problem: str
) -> None:
    """The key alone is not enough: the statement must list exactly these files, in the one way that we can check."""
    resigned(signed, signer, change)
    assert re.search(problem, refusal(signed, verifier))


def payload(bundle: dict[str, Any], content: bytes) -> None:
    """Swap what is signed, and keep the signature."""
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(content).decode()


NOT_MADE, NONE_WE_KNOW = r"^/model.sig: was not made by the key in", r"^/model.sig: is no signature of a model that .*"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda b: payload(b, b"{}"), NOT_MADE),
        (lambda b: b["dsseEnvelope"]["signatures"][0].update(sig=""), NOT_MADE),
        (lambda b: b["dsseEnvelope"]["signatures"][0].update(sig="AAAA"), NOT_MADE),
        (lambda b: b["dsseEnvelope"]["signatures"][0].update(sig="%"), NONE_WE_KNOW),
        (lambda b: b["dsseEnvelope"].update(payload=["e30="]), NONE_WE_KNOW + "its payload is missing or of a wrong"),
        (lambda b: b["dsseEnvelope"].update(signatures=[]), NONE_WE_KNOW + "it holds 0 signatures, not one"),
        (
            lambda b: b["dsseEnvelope"]["signatures"].append(b["dsseEnvelope"]["signatures"][0]),
            NONE_WE_KNOW + "it holds 2 signatures, not one",
        ),
        (lambda b: b["dsseEnvelope"].update(signatures=["x"]), NONE_WE_KNOW + "its sig is missing"),
        (
            lambda b: b["dsseEnvelope"].update(payloadType="text/plain"),
            NONE_WE_KNOW + "its payloadType is 'text/plain'",
        ),
        (lambda b: b.pop("dsseEnvelope"), NONE_WE_KNOW + "its dsseEnvelope is missing or of a wrong type"),
        (lambda b: b.update(dsseEnvelope=[]), NONE_WE_KNOW + "its dsseEnvelope is missing or of a wrong type"),
        (lambda b: b.update(mediaType="application/json"), NONE_WE_KNOW + "its mediaType is 'application/json'"),
        (lambda b: b.update(mediaType="x\n" * 2**17), NONE_WE_KNOW + "its mediaType is"),
    ],
)
def test_a_changed_bundle_is_refused(signed: Path, verifier: Verifier, change: Change, problem: str) -> None:
    """What is swapped, stripped, doubled or of another type never passes."""
    changed(signed, change)
    assert re.search(problem, refusal(signed, verifier))


def test_another_payload_type_is_refused_although_it_is_signed(
    signed: Path, signer: Signer, verifier: Verifier
) -> None:
    """What the key signed for another purpose is no statement about a model, nor if the bundle says that it is one."""
    content = json.dumps(statement(signed)).encode()
    bundle = signer.bundle(content, "application/vnd.other+json")
    write(signed, bundle)
    assert "its payloadType is" in refusal(signed, verifier)
    bundle["dsseEnvelope"]["payloadType"] = "application/vnd.in-toto+json"
    write(signed, bundle)
    assert "was not made by the key" in refusal(signed, verifier)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Expecting value"),
        ("\ufeff{}", "BOM"),
        ("[1]", "its mediaType is missing"),
        ("null", "its mediaType is missing"),
        ('{"mediaType": "a", "mediaType": "b"}', "an object has a key twice"),
        ("[" * 500_000, "its JSON is too deep"),
        ('{"a":' * 150_000, "its JSON is too deep"),
        ("1" * 5000, "integer"),
        (" " * 2**20 + "{}", "has more than 1048576 bytes"),
    ],
    ids=["empty", "bom", "list", "null", "key-twice", "deep-list", "deep-object", "number", "huge"],
)
def test_odd_json_is_refused(signed: Path, verifier: Verifier, text: str, problem: str) -> None:
    """A signature that is no JSON, deep, huge, or ambiguous is one line."""
    write(signed, text)
    assert problem in refusal(signed, verifier)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner),
    max_leaves=20,
)


@given(content=JSON, whole=st.booleans())
def test_no_json_is_taken_for_a_signature(content: object, whole: bool) -> None:
    """Whatever the bundle holds, and whatever a signed statement does, is parsed or a ValueError: no other error."""
    text = json.dumps(content)
    sound = {"mediaType": MEDIA_TYPE, "dsseEnvelope": content}
    with pytest.raises(ValueError):  # noqa: PT011  any problem
        parse_bundle((text if whole else json.dumps(sound)).encode())
    signed = {"_type": STATEMENT_TYPE, "predicateType": PREDICATE_TYPE, "predicate": content, "subject": content}
    with pytest.raises(ValueError):  # noqa: PT011  any problem
        parse_statement((text if whole else json.dumps(signed)).encode())


def test_a_key_twice_in_the_statement_is_refused(signed: Path, signer: Signer, verifier: Verifier) -> None:
    """A statement that two parsers may read in two ways is refused, although it is signed."""
    text = json.dumps(statement(signed))
    write(signed, signer.bundle(text.replace('{"_type"', '{"predicateType": "x", "_type"', 1).encode()))
    assert "an object has a key twice" in refusal(signed, verifier)


def test_a_signature_that_cannot_be_read_is_one_line(signed: Path, verifier: Verifier) -> None:
    """A folder, a pipe that nobody writes to and bytes that are no text do not stop a check, nor hang it."""
    file = signed / SIGNATURE
    file.write_bytes(b"\xff\xfe")
    assert "can't decode" in refusal(signed, verifier)
    file.unlink()
    os.mkfifo(file)
    assert "is not a regular file" in refusal(signed, verifier)
    file.unlink()
    file.mkdir()
    assert "Is a directory" in refusal(signed, verifier)


def pem(key: Any) -> bytes:
    """A public key as PEM."""
    encoded: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return encoded


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "holds no public key in PEM"),
        (b"garbage\n", "holds no public key in PEM"),
        (b"\0" * (2**20 + 1), "has more than 1048576 bytes"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "is damaged or of an unknown kind"),
        (b"-----BEGIN PUBLIC KEY-----\n%%%%\n-----END PUBLIC KEY-----\n", "is damaged or of an unknown kind"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "must be one of ECDSA with P-256, P-384 or P-521"),
        (pem(rsa.generate_private_key(65537, 2048)), "must be one of ECDSA with P-256, P-384 or P-521"),
        (pem(ec.generate_private_key(ec.SECP256K1())), "must be one of ECDSA with P-256, P-384 or P-521"),
    ],
    ids=["empty", "garbage", "huge", "short", "no-base64", "ed25519", "rsa", "secp256k1"],
)
def test_a_file_that_is_no_public_key_is_one_line(content: bytes, problem: str, tmp_path: Path) -> None:
    """The line names the file, and what a key must be."""
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(OptionError) as caught:
        Verifier.read(file)
    assert caught.value.problem.startswith(f"{file}: ")
    assert problem in caught.value.problem
    assert "\n" not in caught.value.problem


def test_what_holds_a_key_is_no_public_key(signer: Signer, tmp_path: Path) -> None:
    """A private key and a certificate are refused, beside a public key too, and the line says how to get the key."""
    certificate, _ = Pem(tmp_path / "pem").issue("signer")
    both = tmp_path / "both"
    both.write_bytes(signer.key.read_bytes() + b"-----BEGIN EC PARAMETERS-----\nBggq\n-----END EC PARAMETERS-----\n")
    with pytest.raises(OptionError, match="holds a key that is damaged or of an unknown kind"):
        Verifier.read(both)
    # As `openssl ecparam -genkey` writes it.
    both.write_bytes(both.read_bytes() + signer.secret.read_bytes())
    for file, problem in (
        (signer.secret, "holds a private key; write its public half: openssl pkey -pubout -in"),
        (both, "holds a private key"),
        (certificate, "holds a certificate; write its key: openssl x509 -noout -pubkey -in"),
        (tmp_path / "none", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(OptionError, match=problem):
            Verifier.read(file)


def test_verify_says_who_signed(signed: Path, signer: Signer, capsys: pytest.CaptureFixture[str]) -> None:
    """`paravec-model verify --key` names the key; without a signature, it is one line with status 1."""
    assert main(["verify", str(signed), "--key", str(signer.key)]) == 0
    assert capsys.readouterr().out.endswith(f": sound, signed by the key in {signer.key}\n")
    (signed / SIGNATURE).unlink()
    assert main(["verify", str(signed), "--key", str(signer.key)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"paravec-model: {signed}/model.sig: not found")
    assert said.count("\n") == 1


def test_only_who_verifies_a_signature_needs_cryptography(signed: Path, signer: Signer) -> None:
    """Nothing else imports the package; without it the option is one line that says what to install."""
    program = (
        "import sys; sys.modules['cryptography'] = None; from paravec_model.cli.main import main;"
        "import paravec_server.app; sys.exit(main())"
    )
    command = [sys.executable, "-c", program, "verify", str(signed)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    done = subprocess.run([*command, "--key", str(signer.key)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "paravec-model: key: needs more packages: pip install 'paravec[signature]'\n"
