"""The one tree of errors, and the one enum of their codes.

    RelayError                 code, message, why, hint; what a person is shown
    ├── Misuse                 the caller's words are wrong (exit status 2)
    ├── LocalFault             this machine: home, store, disk, configuration, port
    ├── Unreachable            nothing could be asked; nothing was changed
    ├── Refused                a policy said no, here or at the target; nothing ran
    └── PeerFault              a peer or a stranger broke the protocol; its bytes were dropped

"You misused me" (Misuse) and "the peer misbehaved" (PeerFault) are different branches: the first is
shown to the person who typed, the second is audited and never trusted for its wording.
"""

from __future__ import annotations

import errno
from enum import StrEnum

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The numbers by which a system says that a disk, or the share of one, is full: `disk_full`."""

TYPE_CHECKING = False  # importing `typing` for one name would cost a command 3 ms
if TYPE_CHECKING:
    from typing import Any


class Code(StrEnum):
    """Every error code of the product. Scripts match on these; they are listed in docs/errors.md."""

    # Misuse
    USAGE = "usage"
    BAD_TASK = "bad_task"
    BAD_DURATION = "bad_duration"
    BAD_NAME = "bad_name"
    BAD_INVITE = "bad_invite"
    UNKNOWN_BROKER = "unknown_broker"
    UNKNOWN_SPAWN = "unknown_spawn"
    UNKNOWN_ENVELOPE = "unknown_envelope"
    AMBIGUOUS = "ambiguous"
    NAME_IN_USE = "name_in_use"
    CONFLICT = "conflict"
    UNKNOWN_BLOB = "unknown_blob"
    UNKNOWN_REQUEST = "unknown_request"
    BAD_FILE = "bad_file"
    BAD_AFTER = "bad_after"
    BAD_TIME = "bad_time"
    ALREADY_STARTED = "already_started"
    NOT_ENDED = "not_ended"
    NO_SESSION = "no_session"
    PLACE_GONE = "place_gone"
    UNKNOWN_SCHEDULE = "unknown_schedule"
    BAD_SOURCE = "bad_source"
    BAD_TREE = "bad_tree"
    NO_CHANGE = "no_change"
    AGENT_CANNOT = "agent_cannot"
    UNKNOWN_DEVICE = "unknown_device"
    BAD_CHANNEL = "bad_channel"
    UNKNOWN_CHANNEL = "unknown_channel"
    TOO_LARGE = "too_large"
    BAD_OFFER = "bad_offer"
    UNKNOWN_CALL = "unknown_call"
    UNKNOWN_SHARE = "unknown_share"
    # LocalFault
    NOT_SET_UP = "not_set_up"
    ALREADY_SET_UP = "already_set_up"
    ALREADY_RUNNING = "already_running"
    PORT_TAKEN = "port_taken"
    BAD_CONFIG = "bad_config"
    BAD_TRUST_FILE = "bad_trust_file"
    BAD_AGENTS_FILE = "bad_agents_file"
    BAD_KEY_FILE = "bad_key_file"
    ROSTER_CLOSED = "roster_closed"
    STORE_CORRUPT = "store_corrupt"
    STORE_NEWER = "store_newer"
    STORE_FAULT = "store_fault"
    DISK_FULL = "disk_full"
    OUTBOX_FULL = "outbox_full"
    BLOB_QUOTA = "blob_quota"
    BLOB_DAMAGED = "blob_damaged"
    FILE_CHANGED = "file_changed"
    LAUNCH_FAILED = "launch_failed"
    NO_LIMITS = "no_limits"
    NO_GIT = "no_git"
    GIT_FAILED = "git_failed"
    PLACE_FAILED = "place_failed"
    INPUT_CLOSED = "input_closed"
    NO_SERVICE_MANAGER = "no_service_manager"
    SERVICE_FAILED = "service_failed"
    NO_TAILSCALE = "no_tailscale"
    PUBLISH_FAILED = "publish_failed"
    NOT_AS_PINNED = "not_as_pinned"
    INTERNAL = "internal"
    # Unreachable
    NOT_RUNNING = "not_running"
    UNREACHABLE = "unreachable"
    NO_ADDRESS = "no_address"
    TIMED_OUT = "timed_out"
    WAIT_TIMEOUT = "wait_timeout"
    FETCH_FAILED = "fetch_failed"
    # Refused
    NO_GRANT = "no_grant"
    NO_VERB = "no_verb"
    NO_AGENT = "no_agent"
    NO_RUNNER = "no_runner"
    NO_DIRECTORY = "no_directory"
    FOREIGN_DIRECTORY = "foreign_directory"
    MODE_BEYOND_GRANT = "mode_beyond_grant"
    GRANT_EXPIRED = "grant_expired"
    GRANT_FROZEN = "grant_frozen"
    OUT_OF_HOURS = "out_of_hours"
    UNPROVED_CHAIN = "unproved_chain"
    TASK_SCOPE = "task_scope"
    TASK_OVER = "task_over"
    TOO_MANY = "too_many"
    TOO_DEEP = "too_deep"
    UNKNOWN_AGENT = "unknown_agent"
    MISSING_BINARY = "missing_binary"
    NOT_EXECUTABLE = "not_executable"
    EXPIRED = "expired"
    INVITE_REFUSED = "invite_refused"
    NOT_A_SIGNER = "not_a_signer"
    WORKSPACE_POPULATED = "workspace_populated"
    INTAKE_STOPPED = "intake_stopped"
    RATE_LIMITED = "rate_limited"
    UNSURE = "unsure"
    NOT_OFFERED = "not_offered"
    DENIED = "denied"
    ANSWERED = "answered"
    OWN_REQUEST = "own_request"
    REQUEST_CHANGED = "request_changed"
    NO_TOKEN = "no_token"  # noqa: S105 - a code, and no secret
    NO_SCOPE = "no_scope"
    CODE_REFUSED = "code_refused"
    FOREIGN_HOST = "foreign_host"
    FOREIGN_ORIGIN = "foreign_origin"
    # PeerFault
    BAD_ENVELOPE = "bad_envelope"
    BAD_FRAME = "bad_frame"
    BAD_HELLO = "bad_hello"
    BAD_RECORD = "bad_record"
    BAD_SIGNATURE = "bad_signature"
    NOT_A_MEMBER = "not_a_member"
    OTHER_WORKSPACE = "other_workspace"
    UNKNOWN_KIND = "unknown_kind"
    UNKNOWN_KEY = "unknown_key"
    EXPIRES_LATE = "expires_late"
    REPLAYED = "replayed"
    POISON = "poison"
    PROTOCOL_VERSION = "protocol_version"
    BAD_BLOB = "bad_blob"
    AUDIT_CUT = "audit_cut"
    # how a task ended
    EXIT_NONZERO = "exit_nonzero"
    KILLED_BY_SIGNAL = "killed_by_signal"
    OUT_OF_MEMORY = "out_of_memory"
    TASK_TIMED_OUT = "task_timed_out"
    TASK_LOST = "task_lost"
    AWAITS_APPROVAL = "awaits_approval"
    AGENT_ERROR = "agent_error"
    AGENT_NO_RESULT = "agent_no_result"
    AGENT_DENIED = "agent_denied"
    AGENT_MAX_TURNS = "agent_max_turns"
    AGENT_NO_LOGIN = "agent_no_login"
    AGENT_USAGE_LIMIT = "agent_usage_limit"
    AGENT_NO_SESSION = "agent_no_session"
    PREDECESSOR_FAILED = "predecessor_failed"
    # how a call ended
    RUNNER_FAILED = "runner_failed"
    RUNNER_LOST = "runner_lost"
    RUNNER_TIMED_OUT = "runner_timed_out"
    RESULT_TOO_LARGE = "result_too_large"
    BAD_RESULT = "bad_result"
    TOOL_SERVER_ENDED = "tool_server_ended"
    TOOL_SERVER_DOWN = "tool_server_down"


class RelayError(Exception):
    """What happened (`message`), why (`why`) and the exact command that mends it (`hint`).

    Args:
        message: one sentence, no secret in it, safe to print after cleaning.
        code: what scripts match on.
        why: the reason, where the message alone does not give it.
        hint: what to do next; a command, with the machine it belongs on.

    Attributes:
        is_unsent: no broker of this machine was there to be asked, so that certainly nothing was done.
    """

    default_code = Code.INTERNAL
    is_unsent = False

    def __init__(self, message: str, *, code: Code | None = None, why: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.why = why
        self.hint = hint

    def to_json(self) -> dict[str, Any]:
        """The error as the command contract shows it, without the outer `error` key."""
        return {"code": str(self.code), "message": self.message, "why": self.why, "hint": self.hint}


class Misuse(RelayError):
    """The caller's words are wrong; nothing was changed."""

    default_code = Code.USAGE


class LocalFault(RelayError):
    """This machine cannot do it now: its home, store, disk, configuration or port."""

    default_code = Code.STORE_FAULT


class Unreachable(RelayError):
    """Nobody answered; nothing is known to have changed."""

    default_code = Code.UNREACHABLE


class Refused(RelayError):
    """A policy said no; nothing ran."""

    default_code = Code.NO_GRANT


class PeerFault(RelayError):
    """A peer or a stranger broke the protocol; what it sent was dropped."""

    default_code = Code.BAD_ENVELOPE


BRANCHES: tuple[type[RelayError], ...] = (Misuse, LocalFault, Unreachable, Refused, PeerFault)
_BRANCH_OF: dict[str, str] = {
    **dict.fromkeys(
        "usage bad_task bad_duration bad_name bad_invite unknown_broker unknown_spawn unknown_envelope ambiguous"
        " name_in_use conflict unknown_blob bad_file unknown_request"
        " bad_after bad_time already_started not_ended no_session unknown_schedule agent_cannot"
        " bad_source bad_tree no_change unknown_device too_large bad_offer unknown_call unknown_share"
        " unknown_channel bad_channel".split(),
        "Misuse",
    ),
    **dict.fromkeys("not_running unreachable no_address timed_out wait_timeout fetch_failed".split(), "Unreachable"),
    **dict.fromkeys(
        "no_grant no_verb no_agent no_runner no_directory foreign_directory mode_beyond_grant grant_expired"
        " grant_frozen out_of_hours unproved_chain task_scope task_over"
        " too_many too_deep unknown_agent missing_binary not_executable expired invite_refused"
        " not_a_signer"
        " workspace_populated intake_stopped rate_limited unsure not_offered denied answered own_request"
        " request_changed no_token no_scope code_refused foreign_host foreign_origin".split(),
        "Refused",
    ),
}


def from_json(document: dict[str, Any]) -> RelayError:
    """The error a control answer carried, as the class of its branch again.

    Args:
        document: what `RelayError.to_json` made; unknown codes become `internal`.
    """
    text = str(document.get("code", ""))
    code = Code(text) if text in Code._value2member_map_ else Code.INTERNAL
    branch = {kind.__name__: kind for kind in BRANCHES}[_BRANCH_OF.get(text, "LocalFault")]
    return branch(
        str(document.get("message", "")),
        code=code,
        why=str(document.get("why", "")),
        hint=str(document.get("hint", "")),
    )
