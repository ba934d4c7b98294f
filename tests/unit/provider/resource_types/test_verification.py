"""What a failed check becomes: a finding in the schema's own words, or a line of the error that ends the `up`."""

from __future__ import annotations

from infra.changes import Finding
from infra.provider.resource_types.verification import NOT_REPAIRED, _finding, _listed
from infra.verification.report import Failure

LOST = Failure("schema: table kyc_documents", "expected: kyc_documents exists\nobserved: it does not\n-> restore it")


def test_a_structural_failure_has_the_subject_of_the_schemas_finding() -> None:
    found = _finding(LOST)
    assert found == Finding(
        "table public.kyc_documents", "expected: kyc_documents exists, observed: it does not", "restore it"
    )
    column = _finding(Failure("schema: column users.pin_hash", "expected: a\nobserved: b\n-> write a migration"))
    assert column.subject == "column public.users.pin_hash"
    assert _finding(Failure("behaviour: defaults users", "expected: a\nobserved: b\n-> c")).subject == (
        "behaviour: defaults users"
    )


def test_an_up_never_advises_to_run_up() -> None:
    by_up = Failure("schema: function", "expected: a\nobserved: b\n-> run `make up` on this stack: it restores this")
    text = _listed([LOST, by_up])
    assert "make up" not in text
    assert NOT_REPAIRED in text
    assert text.index("table kyc_documents") < text.index("schema: function")
    assert "-> restore it" in text


def test_a_long_list_is_cut_and_says_so() -> None:
    assert "and 5 more" in _listed([LOST] * 15)
