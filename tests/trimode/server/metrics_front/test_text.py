"""Texts of metrics put together: nothing is lost, no family is torn apart, and each sample says whose it is."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from trimode.server.metrics_front.text import labelled, merged

TEXT = """# HELP a_total Things
# TYPE a_total counter
a_total{mode="x"} 1
# HELP b Bare
# TYPE b gauge
b 2
"""


def test_each_sample_gets_the_label_and_comments_stay() -> None:
    assert labelled(TEXT, "model_name", 'n"1') == (
        """# HELP a_total Things
# TYPE a_total counter
a_total{model_name="n\\"1",mode="x"} 1
# HELP b Bare
# TYPE b gauge
b{model_name="n\\"1"} 2
"""
    )


def test_samples_without_labels_in_braces_are_read_back() -> None:
    (family,) = text_string_to_metric_families(labelled("c{} 3\n", "m", "x"))
    assert [(sample.labels, sample.value) for sample in family.samples] == [({"m": "x"}, 3.0)]


def test_one_text_stays_as_it_is() -> None:
    assert "".join(merged([TEXT])) == TEXT


def test_of_several_each_family_is_there_once_with_the_samples_of_all() -> None:
    other = "# HELP b Bare\n# TYPE b gauge\nb 4\n# HELP c Only here\n# TYPE c gauge\nc 5\n"
    lines = merged([labelled(TEXT, "m", "one"), labelled(other, "m", "two")])
    assert [line.rstrip() for line in lines] == [
        "# HELP a_total Things",
        "# TYPE a_total counter",
        'a_total{m="one",mode="x"} 1',
        "# HELP b Bare",
        "# TYPE b gauge",
        'b{m="one"} 2',
        'b{m="two"} 4',
        "# HELP c Only here",
        "# TYPE c gauge",
        'c{m="two"} 5',
    ]
