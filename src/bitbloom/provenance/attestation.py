"""Attestations: the inputs of a Bento as SLSA provenance, signed with the builder's key.

    openssl ecparam -name prime256v1 -genkey -noout -out key.pem && openssl ec -in key.pem -pubout -out key.pub
    bitbloom attest petals --key key.pem                                  # dist/attestations/petals/local/
    bitbloom check-attestation petals --key key.pub

The statement (in-toto Statement v1, predicate https://slsa.dev/provenance/v1) names every input of the build and its digest. It
has no time, so equal builds give equal statements. model-signing signs the folder with Bento and statement as a model, so that
tool alone can verify the signature. A second builder who rebuilt the Bento (`make verify`) adds a statement under another name.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from bitbloom.core import canonical, git
from bitbloom.core.digests import digest, file_digest, folder_files
from bitbloom.core.errors import BitBloomError
from bitbloom.numerics import pins
from bitbloom.pipeline import claim, composition, graph
from bitbloom.pipeline.why import changed_stages

ROOT = Path("dist/attestations")
STATEMENT = "provenance.intoto.json"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:bitbloom:build:v1"
"""External parameter: a target. The build: `make all TARGET=<target>` in a tree of these materials."""


def attest(target: str, key: Path, builder: str, workspace: Path = Path()) -> Path:
    """Write and sign a builder's statement on the Bento of a workspace. Returns the folder with both.

    Raises:
        BitBloomError: the Bento is missing, differs from the expected digests, or was built from other files than the current
            ones, or the key is not an elliptic-curve key.
    """
    from model_signing import signing

    bento = workspace / "dist" / f"{target}.bento"
    if not bento.exists():
        raise BitBloomError(f"{bento} is missing: make all TARGET={target}")
    _require_expected(target, workspace)
    folder = place(target, builder)
    with canonical.replacing_folder(folder) as temporary:
        shutil.copyfile(bento, temporary / bento.name)
        canonical.write_json(temporary / STATEMENT, statement(target, builder, workspace))
    with canonical.replacing(signature(target, builder)) as temporary:
        try:
            signing.Config().use_elliptic_key_signer(private_key=key).sign(folder, temporary)  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, AttributeError, OSError) as error:  # the library reads the curve of any key
            raise BitBloomError(f"cannot sign with {key}: {error} (a PEM private key on a curve such as prime256v1)") from error
    return folder


def check(target: str, key: Path, builder: str) -> str:
    """Check a builder's statement against the working tree. Returns a line with the result.

    Raises:
        BitBloomError: the signature, the Bento or a material differs from the statement. The message names it.
    """
    from model_signing import verifying

    folder, bundle = place(target, builder), signature(target, builder)
    if not folder.is_dir() or not bundle.exists():
        raise BitBloomError(f"there is no statement of '{builder}' on {target}: {folder}, {bundle}")
    try:
        _require_canonical(bundle)
        verifying.Config().use_elliptic_key_verifier(public_key=key).verify(folder, bundle)  # type: ignore[no-untyped-call]
    except Exception as error:  # the library passes on errors of its parsers and its cryptography
        raise BitBloomError(f"refused: {bundle} is not valid for {folder} and {key}: {error or type(error).__name__}") from error
    stated = canonical.read_json(folder / STATEMENT)
    _require_statement(stated)
    _require_subject(stated, target, builder)
    wrong = [name for name, expected in _named(stated).items() if _digest_here(name) != expected]
    if wrong:
        raise BitBloomError(
            f"refused: the statement of '{builder}' is about other files: {', '.join(wrong[:5])} ({len(wrong)} differ)"
        )
    materials = len(stated["predicate"]["buildDefinition"]["resolvedDependencies"])
    who = stated["predicate"]["runDetails"]["builder"]["id"]
    return f"{target}: signed by {who}; the Bento and {materials} materials are as stated"


def place(target: str, builder: str) -> Path:
    """The folder of a builder's Bento and statement."""
    return ROOT / target / _folder_name(builder)


def signature(target: str, builder: str) -> Path:
    """A builder's signature: a Sigstore bundle."""
    return ROOT / target / f"{_folder_name(builder)}.sigstore.json"


def statement(target: str, builder: str, workspace: Path = Path()) -> dict[str, Any]:
    """The in-toto statement as plain JSON: subject, every material, and all other outputs."""
    from google.protobuf.json_format import MessageToDict
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1.statement import Statement

    bento = f"dist/{target}.bento"
    predicate = provenance_pb2.Provenance()
    definition, details = predicate.build_definition, predicate.run_details
    definition.build_type = BUILD_TYPE
    definition.external_parameters.update({"target": target})
    profile = composition.compose(target).numerics.profile
    definition.internal_parameters.update({"numerics": profile, "environment": pins.environment(profile)})
    definition.resolved_dependencies.extend(_descriptor(name, sha) for name, sha in materials(target, workspace).items())
    commit = git.clean_commit()
    if commit:
        definition.resolved_dependencies.add(name="git", digest={"gitCommit": commit})
    details.builder.id = builder_id(builder)
    outputs = claim.current(target, workspace)
    details.byproducts.extend(_descriptor(name, str(entry["sha256"])) for name, entry in outputs.items() if name != bento)
    made = Statement([_descriptor(bento, str(outputs[bento]["sha256"]))], PREDICATE_TYPE, MessageToDict(predicate))
    made.validate()
    plain: dict[str, Any] = MessageToDict(made.pb)
    return plain


def builder_id(builder: str) -> str:
    """A builder's URI."""
    return builder if ":" in builder else f"urn:bitbloom:builder:{builder}"


def _require_expected(target: str, workspace: Path) -> None:
    """Raise BitBloomError unless the outputs have the expected digests and were built from the current files."""
    expected, built = claim.read(target), claim.current(target, workspace)
    wrong = sorted(path for path in expected.keys() | built.keys() if expected.get(path) != built.get(path))
    if wrong:
        raise BitBloomError(f"{', '.join(wrong[:5])} in {workspace.absolute()} differs from {claim.path(target)}: build again")
    if workspace == Path():
        changed = changed_stages(target)
        if changed:
            raise BitBloomError(
                f"inputs of {', '.join(changed)} changed since the build (bitbloom why {changed[0]} {target}): build again"
            )


def _require_subject(stated: dict[str, Any], target: str, builder: str) -> None:
    """Raise BitBloomError unless the statement is by this builder and about this target's Bento only."""
    subjects = [subject["name"] for subject in stated["subject"]]
    predicate = stated["predicate"]
    stated_target = predicate["buildDefinition"]["externalParameters"].get("target")
    if subjects != [f"dist/{target}.bento"] or stated_target != target:
        raise BitBloomError(f"refused: the statement is on {', '.join(subjects)} of target '{stated_target}', not on {target}")
    if predicate["runDetails"]["builder"]["id"] != builder_id(builder):
        raise BitBloomError(
            f"refused: the statement is of {predicate['runDetails']['builder']['id']}, not of {builder_id(builder)}"
        )


def materials(target: str, workspace: Path = Path()) -> dict[str, str]:
    """Every input file of a target's build that the build does not make, by path → SHA-256.

    The user's own data is one folder.
    """
    tree = composition.compose(target)
    stages = graph.stages(target, tree)
    made = [output for stage in stages for output in (*stage.outputs, *stage.metrics)]
    read = {
        path for stage in stages for path in stage.inputs if not any(path == out or path.startswith(f"{out}/") for out in made)
    }
    files: set[str] = {f"params/{target}.yaml", "weights.lock"}
    for path in read - set(graph.external(tree)):
        folder = workspace / path
        inside = [f"{path}/{name}" for name in folder_files(folder) if "__pycache__" not in name] if folder.is_dir() else [path]
        files |= set(inside)
    found = {path: file_digest(workspace / path) for path in files}
    found |= {path: digest(workspace / path) for path in graph.external(tree)}
    return dict(sorted(found.items()))


def _descriptor(name: str, sha256: str) -> Any:
    from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor

    return ResourceDescriptor(name=name, digest={"sha256": sha256}).pb


def _require_statement(stated: dict[str, Any]) -> None:
    from google.protobuf.json_format import ParseDict, ParseError
    from in_toto_attestation.v1 import statement as in_toto
    from in_toto_attestation.v1.statement_pb2 import Statement

    try:
        in_toto.Statement.copy_from_pb(ParseDict(stated, Statement())).validate()
    except (ParseError, ValueError) as error:
        raise BitBloomError(f"refused: {STATEMENT} is not an in-toto statement: {error}") from error
    if stated["predicateType"] != PREDICATE_TYPE:
        raise BitBloomError(f"refused: {STATEMENT} is about {stated['predicateType']}, not {PREDICATE_TYPE}")


def _named(stated: dict[str, Any]) -> dict[str, str]:
    """The files in a statement: the Bento and the materials, by path → SHA-256."""
    dependencies = stated["predicate"]["buildDefinition"]["resolvedDependencies"]
    named = {item["name"]: item["digest"]["sha256"] for item in dependencies if "sha256" in item["digest"]}
    return named | {item["name"]: item["digest"]["sha256"] for item in stated["subject"]}


def _digest_here(name: str) -> str | None:
    path = Path(name)
    return digest(path) if path.exists() else None


def _require_canonical(bundle: Path) -> None:
    """Raise ValueError for a bundle that is not in canonical form: parsers would accept some changed bits."""
    from sigstore_models.bundle.v1 import Bundle

    text = bundle.read_text(encoding="utf-8")
    if Bundle.from_json(text).to_json() != text:
        raise ValueError("the bundle is not in its canonical form")


def _folder_name(builder: str) -> str:
    return re.sub(r"[^A-Za-z0-9.@_-]+", "-", builder).strip("-.") or "builder"
