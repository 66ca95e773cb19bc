"""The bridge loses nothing: plain -> columns -> plain is the same world."""

from __future__ import annotations

from hypothesis import given

from strategies import World, worlds
from twins.bridge import book_frame, joint_frame, market_frame, plain_accounts, plain_market


@given(worlds())
def test_a_world_survives_the_way_to_columns_and_back(world: World) -> None:
    frame = market_frame(world.market)
    back = plain_market(frame, world.market.rulebook, joint_frame(world.market))
    # repr compares NaN with NaN as equal, and every other float by its shortest exact digits.
    assert repr(back.factors) == repr(dict(world.market.factors))
    assert repr(back.assets) == repr(dict(world.market.assets))
    assert repr(back.instruments) == repr(dict(world.market.instruments))
    for ours, theirs in zip(world.market.joint, back.joint, strict=True):
        assert ours.moves == theirs.moves
    book = book_frame(world.market, world.accounts)
    assert repr(plain_accounts(frame, book)) == repr(list(world.accounts))
