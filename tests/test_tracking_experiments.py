from __future__ import annotations

from harness.tracking import NOTE_TAG, Store
from harness.tracking.experiments import KIND, KIND_TAG, NOTE


def tags_of(store: Store) -> dict[str, str]:
    """The tags of a store's experiment."""
    return dict(store.client.get_experiment(store.experiment_id).tags)


def test_new_experiment_tells_a_newcomer_where_to_look(store_uri: str) -> None:
    """Its kind opens the tabs that there is something in, and its description names them."""
    tags = tags_of(Store(store_uri, "new"))
    assert tags[KIND_TAG] == KIND
    assert tags[NOTE_TAG] == NOTE
    for told in ("report.html", "completeness.recall", "harness.sample", "facts.json"):
        assert told in tags[NOTE_TAG]


def test_what_a_person_wrote_stays(store_uri: str) -> None:
    """A description and a kind of a person's own are never replaced, not even empty ones."""
    store = Store(store_uri, "own")
    store.client.set_experiment_tag(store.experiment_id, NOTE_TAG, "mine")
    store.client.set_experiment_tag(store.experiment_id, KIND_TAG, "")
    again = tags_of(Store(store_uri, "own"))
    assert (again[NOTE_TAG], again[KIND_TAG]) == ("mine", "")


def test_experiment_of_a_person_gets_what_it_lacks(store_uri: str) -> None:
    """One that was made elsewhere and says nothing of itself says where to look from the first sweep on."""
    client = Store(store_uri, "other").client
    made = client.create_experiment("theirs", tags={KIND_TAG: "regression"})
    Store(store_uri, "theirs")
    tags = client.get_experiment(made).tags
    assert tags[KIND_TAG] == "regression"
    assert tags[NOTE_TAG] == NOTE
