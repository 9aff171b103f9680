"""The remedy of each error code: one sentence that says what a person does, and where.

Shown by `orgs check`, `status` and the log. A code without a sentence here gets the general one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.states import NEED_A_PERSON, State
from poller.core.token import SCOPES

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCOPES: Final = ",".join(SCOPES)  # as Zoho's API console wants them typed
_CONSOLE: Final = "the API console of the org's data centre (api-console.zoho.com, .eu, .in, …)"
_NEW_GRANT: Final = (
    f"make a new grant code in {_CONSOLE}, Self Client > Generate Code, scope {_SCOPES}, "
    "and import the org again with it as grant_code"
)
_NEW_TOKEN: Final = f"see that data_center is the one the org was made in; if it is, {_NEW_GRANT}"
_PROFILE: Final = (
    "in Zoho CRM, Setup > Security Control > Profiles, open the profile of the user who gave consent and enable "
    '"Zoho CRM API Access" under Developer Permissions, or give consent again as an administrator'
)
_COMPANY: Final = "Zoho CRM, Setup > General > Company Settings"
_PLAN: Final = f"see in {_COMPANY} whether the org's edition includes API access"
_VERSION: Final = "set api_version of the org, or POLLER_API_VERSION, to one that Zoho serves: v7, v8"
_SELF_CLIENT: Final = "use a Self Client of the API console: this kind of client may not ask for tokens in this way"
_WAIT: Final = "nothing to do: the poller tries again automatically; see Zoho's status page if it lasts"
_NETWORK: Final = "see whether this machine reaches Zoho over https, through its firewall too: poller doctor"
_PROXY: Final = "see what is wrong with the proxy of POLLER_PROXY: poller doctor"
_NOT_ZOHO: Final = "the answer is not Zoho's: look for a proxy or a sign-in page between here and Zoho"

REMEDIES: Final[Mapping[str, str]] = {
    # the API
    "INVALID_TOKEN": _NEW_TOKEN,
    "INVALID_OAUTHTOKEN": _NEW_TOKEN,
    "AUTHENTICATION_FAILURE": _NEW_TOKEN,
    "OAUTH_SCOPE_MISMATCH": f"the consent lacks a scope: {_NEW_GRANT}",
    "NO_PERMISSION": _PROFILE,
    "AUTHORIZATION_FAILED": _PROFILE,
    "FEATURE_NOT_ENABLED": _PLAN,
    "API_NOT_SUPPORTED": _PLAN,
    "INVALID_URL_PATTERN": _VERSION,
    "INVALID_REQUEST_METHOD": _VERSION,
    "INVALID_DATA": _VERSION,
    "BAD_REQUEST": _VERSION,
    "TOO_MANY_REQUESTS": (
        "the org's credits or its calls in flight are spent, perhaps by other apps: the poller slows down "
        "automatically; lengthen poll_interval or lower POLLER_CREDIT_SHARE if it lasts"
    ),
    "INTERNAL_ERROR": _WAIT,
    "INTERNAL_SERVER_ERROR": _WAIT,
    # the token endpoint
    "invalid_client": (
        "compare client_id with the API console (api-console.zoho.com, .eu, .in, …: your client, Client Secret), and "
        "data_center with the org's: a client of one data centre is unknown in another unless Settings > "
        "Use the same OAuth credentials for all data centers is on"
    ),
    "invalid_client_secret": (
        "copy client_secret again from the API console (your client, Client Secret); with multi-DC on, "
        "each data centre may have a secret of its own"
    ),
    # For a refresh token; a refused grant code has the code `grant_code_expired`.
    "invalid_code": (
        "Zoho no longer takes the org's refresh token: the consent was revoked, the token was copied wrongly, or newer "
        f"ones of the same login pushed it out (Zoho keeps 20); import the right refresh_token, or {_NEW_GRANT}"
    ),
    "invalid_grant": f"the consent was revoked or has expired: {_NEW_GRANT}",
    "missing_org_info": f"give soid as ZohoCRM.<zgid>, the org's number; it is in {_COMPANY}",
    "invalid_soid": f"compare the number in soid with the org's zgid in {_COMPANY}",
    "invalid_scope": f"let the client ask for the scopes {_SCOPES}, in the API console",
    "unauthorized_client": _SELF_CLIENT,
    "unsupported_grant_type": _SELF_CLIENT,
    "invalid_redirect_uri": (
        "use a Self Client of the API console, or a refresh_token: "
        "a code made for a redirect URI cannot be exchanged here"
    ),
    "throttled": (
        "too many tokens were asked for with this refresh token (10 in 10 minutes): the poller waits automatically; "
        "see whether another program uses the same refresh token"
    ),
    # the poller's own codes
    "key_missing": (
        "the org's credentials are encrypted with a key that is not in POLLER_SECRET_KEYS: poller keys list names it; "
        "add it behind the first, or import the org again"
    ),
    "unreadable_credentials": (
        "the org's credentials do not decrypt with the key of that id: compare POLLER_SECRET_KEYS with the other "
        "workers', or import the org again"
    ),
    "too_late": (
        "no worker had time for the slot: start another `poller run`, raise POLLER_CONCURRENCY, or lengthen the "
        "interval; `poller plan` says how many workers the fleet needs"
    ),
    "not_running": "no worker ran when the slot was due: start `poller run`, and see why it had stopped: poller doctor",
    "crashed": "the poller made a mistake: look for poll.crashed in the log of the worker, and report it",
    "held": "nothing to do: Zoho refused requests for a while (429), and the poller waits as long as Zoho asks",
    "credit_share_spent": (
        "the poller's share of the org's credits is spent: lengthen poll_interval or raise POLLER_CREDIT_SHARE; "
        "`poller orgs show` says how many credits a day the interval needs"
    ),
    # no reply, or an unreadable one
    "data_center_away": _NETWORK,
    "dns": _NETWORK,
    "proxy_dns": _PROXY,
    "proxy_unreachable": _PROXY,
    "proxy_login": _PROXY,
    "proxy_denied": _PROXY,
    "refused": _NETWORK,
    "local_resources": (
        "this machine has no file descriptor, port or memory left for a connection: raise the limit of open files "
        "(ulimit -n, LimitNOFILE=) or lower POLLER_CONCURRENCY"
    ),
    "no_route": "this machine has no network route to Zoho: see its network, then poller doctor",
    "reset": _NETWORK,
    "timeout": f"{_NETWORK}; raise POLLER_REQUEST_TIMEOUT on a slow line",
    "tls": (
        "something between here and Zoho shows another certificate, or this machine's certificates or clock are old: "
        "poller doctor; the poller never goes on without a good one"
    ),
    "redirect": "the answer sends us elsewhere, and a token follows no redirect: see the data centre's address",
    "too_large": _NOT_ZOHO,
    "protocol": _NOT_ZOHO,
    "not_json": _NOT_ZOHO,
    "another_org": (
        "the credentials are those of another Zoho org than the one of the history: import the org's own credentials "
        "again, and the others under a name of their own; if the customer has moved there, set the org's zgid to learn"
    ),
    "current_user_not_one": "Zoho counts more than one user as the token's own: see whose consent it is",
}
_LATE: Final = "see whether enough workers run: `poller doctor`"
_GENERAL: Final = "the poller tries again automatically; if it lasts, report this code with the poller's version"


def remedy_for(code: str) -> str:
    """What to do about `code`: one sentence without a full stop."""
    return REMEDIES.get(code, _WAIT if code.startswith("http_5") else _GENERAL)


def trouble_remedy(state: str, reason: str | None, parked_remedy: str | None) -> str:
    """What to do about orgs in a state that needs a person. `parked_remedy`: what was stored when they were parked."""
    if state == State.LATE:
        return _LATE
    return (parked_remedy if state == State.PARKED else None) or remedy_for(reason or "")


def remedy_of_state(state: str, reason: str | None, parked_remedy: str | None) -> str | None:
    """What to do about an org in any state; None: nothing."""
    return trouble_remedy(state, reason, parked_remedy) if state in NEED_A_PERSON else None
