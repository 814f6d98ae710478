"""What a real Realtime was seen to say, through the official client: what is made of it."""

import asyncio
from uuid import UUID

import pytest

from core.changes import Hint, LinkChanged, LinkState, Table
from core.store.realtime import RealtimeHints
from tests.support.supabase.replay import SCENARIOS, Replay

USER = UUID("11111111-1111-4111-8111-111111111111")

# What comes out, in order: `live`, `lost` (and a word of the reason), or the ids of hints, with a
# `?` where the row is to be fetched whatever is known. The recorded tables have no revision.
COMES_OUT = {
    "01_join_insert_update_delete_default": "live 1? 1? 1? 1? 1? 1? 5? lost:closed",
    "02_replica_identity_full": "live 7? 7? 7? 7?",
    "03_filter_id_default_identity": "live 9? 9? 9?",
    "04_big_jsonb_default": "live 13? 13? 13? 13? 13? 13? 14? 16?",
    # The frame of 1.3 MB is larger than the client takes: it hangs up, as it was seen to.
    "04_big_jsonb_full": "live 17? 17? 17? lost:closed",
    "05a_join_bad_signature": "lost:JwtSignatureError",
    "05b_join_malformed_jwt": "lost:MalformedJWT",
    "05c_join_expired": "lost:expired",
    "05d2_join_no_exp": "lost:required",
    "05d_join_no_role": "lost:Unable",
    "05e_join_no_access_token_uses_apikey": "live",
    "05f_connect_expired_apikey": "lost:401",
    "05g2_connect_no_signature_match": "lost:401",
    "05g_connect_bad_apikey": "lost:401",
    "05h_join_unknown_role": "lost:Unable",
    "05i_join_service_role": "live",
    "05j_token_expires_mid_session": "live 21? 22? lost:expired",
    "05k_access_token_refresh": "live 21? live 22? 23? 24?",
    "05l_access_token_other_sub": "live 25? 26? 27? live",
    "05m_access_token_expired": "live lost:expired",
    "05n_access_token_malformed": "live lost:valid",
    "06a_heartbeat_and_vsn2_and_junk": "lost:unmatched",
    "06b_no_heartbeat_idle": "live "
    + " ".join(f"{number}?" for number in range(21, 37))
    + " lost:closed",
    "07_server_restart_sigkill": "live 39? lost:1006 live 39?",
    "07_server_restart_sigterm": "live 37? lost:1012 live 37?",
    # The client takes the old join's `phx_close` for its own channel's.
    "08_two_subscriptions_one_channel": "live 11? 11? 11? lost:closed",
    "09a_bad_filter_unknown_column": "lost:Unable",
    "09b_bad_filter_unsupported_op": "lost:parsing",
    "09c_bad_filter_malformed": "lost:parsing",
    "09d_bad_filter_wrong_type": "lost:Unable",
    "09e_table_missing": "lost:enabled",
    "09f_table_not_in_publication": "lost:enabled",
    "09g_one_good_one_bad_binding": "lost:Unable",
    "09h_no_select_grant": "live",
    "09i_no_primary_key": "live",
    "09j_column_grants": "live",
    "09k_schema_wildcard": "live",
    "09l_event_lowercase": "live " + " ".join(f"{number}?" for number in range(29, 37)),
    "09m_empty_filter": "live",
    "09n_null_filter": "lost:subscription",
    "09o_and_filter": "live 29? 30? 31? 32?",
    "09p_in_filter": "live",
    "09q_select_columns": "live " + " ".join(f"{number}?" for number in range(29, 37)),
    "09r_no_bindings": "lost:mismatch",
    "09s_table_added_to_publication_later": "lost:enabled",
    "11_postgres_restart": "live" + " 41?" * 17,
    "15_cold_start_race_0": "live 449?",
    "15_warm_start_race_0": "live 456? 457?",
}


def test_every_scenario_is_looked_at() -> None:
    assert sorted(COMES_OUT) == SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_scenario(scenario: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = COMES_OUT[scenario].split()
    replay = Replay(scenario)

    async def token() -> str:
        return "a-token"

    came: list[str] = []
    details: list[str] = []
    async with replay.serving() as url:
        stream = RealtimeHints(url, "anon-key", token, USER).hints()
        async with asyncio.timeout(10):
            while len(came) < len(wanted):
                item = await anext(stream)
                came.append(_said(item))
                details += [item.detail] if isinstance(item, LinkChanged) else []
        # And then nothing more, unless it is about to try again.
        if not wanted[-1].startswith("lost"):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 0.2)
        await stream.aclose()
    assert [each.partition(":")[0] for each in came] == [
        each.partition(":")[0] for each in wanted
    ], details
    for said, expected in zip(came, wanted, strict=True):
        assert expected.partition(":")[2] in said
    assert all(detail == "" or detail.endswith(".") for detail in details)
    assert all("anon-key" not in detail and "a-token" not in detail for detail in details)


def _said(item: Hint | LinkChanged) -> str:
    if isinstance(item, LinkChanged):
        return "live" if item.state is LinkState.LIVE else f"lost:{item.detail}"
    assert item.table is Table.TASKS
    return f"{item.id}{'' if item.revision else '?'}"
