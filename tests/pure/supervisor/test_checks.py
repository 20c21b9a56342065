"""How the tests are run."""

import pytest

from deploy.supervisor.checks import pytest_arguments


@pytest.mark.parametrize("given", [(), ("-x",), ("--ignore=tests/pure", "-q")])
def test_all_tests_are_run_by_several_workers(given: tuple[str, ...]) -> None:
    first, *_ = arguments = pytest_arguments(given)
    assert first == "-n"
    assert tuple(arguments)[len(arguments) - len(given) :] == given


@pytest.mark.parametrize("given", [("tests/pure",), ("-k", "one"), ("-x", "tests/pure/test_cli.py")])
def test_tests_that_are_named_are_run_here(given: tuple[str, ...]) -> None:
    assert pytest_arguments(given) == given
