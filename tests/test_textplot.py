from sparsemod.textplot import Mark, scatter


def drawn(*points, **size):
    return scatter([Mark(*point) for point in points], "bytes", "error", **{"width": 9, "height": 3, **size})


def test_corners_are_where_they_belong():
    assert drawn((0, 0, "a"), (8, 0, "b"), (0, 2, "c"), (8, 2, "d"))[1:4] == [
        "  2 |c       d",
        "    |",
        "  0 |a       b",
    ]


def test_axis_over_more_than_a_factor_of_ten_is_logarithmic():
    lines = drawn((1, 0, "a"), (10, 0, "b"), (100, 1, "c"), height=2)
    assert lines[2] == "  0 |a   b"
    assert lines[-1] == "     1     100  bytes, logarithmic"


def test_zero_keeps_the_axis_linear():
    assert drawn((0, 0, "a"), (50, 0, "b"), (100, 1, "c"), height=2)[2] == "  0 |a   b"


def test_one_point_stands_in_the_middle():
    assert drawn((5, 5, "a"))[2] == "    |    a"


def test_later_point_is_seen_over_an_earlier_one():
    assert "o" in drawn((1, 1, "."), (1, 1, "o"))[2]
