"""The operations on data: routing, pagination tokens, and responses in the model's shapes."""

import re
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cache
from hashlib import blake2b
from hmac import compare_digest
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import orjson
from starlette.types import Receive

from gateway.sandbox.api.model import (
    ApiError,
    Inputs,
    operation_model,
    output_shaper,
    unix_ms,
    validation_error,
)
from gateway.sandbox.data.accounts import Account, Accounts, SandboxCaller, index_after
from gateway.sandbox.data.resources import Collection, Record, Seed

Clock = Callable[[], datetime]

MAX_TOKEN_LENGTH = 10_240
DEFAULT_PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class DataOperation:
    """An operation on a collection of `Account`.

    `member` names the rows in the response of a List operation, the ARN in the input of a Get.
    """

    collection: str
    member: str

    def collection_of(self, account: Account) -> Collection:
        collection: Collection = getattr(account, self.collection)
        return collection


LIST_OPERATIONS = {
    "ListAudienceGenerationJobs": DataOperation("generation_jobs", "audienceGenerationJobs"),
    "ListAudienceExportJobs": DataOperation("export_jobs", "audienceExportJobs"),
    "ListConfiguredAudienceModels": DataOperation("configured_models", "configuredAudienceModels"),
    "ListAudienceModels": DataOperation("audience_models", "audienceModels"),
    "ListTrainingDatasets": DataOperation("training_datasets", "trainingDatasets"),
}
GET_OPERATIONS = {
    "GetAudienceGenerationJob": DataOperation("generation_jobs", "audienceGenerationJobArn"),
    "GetConfiguredAudienceModel": DataOperation("configured_models", "configuredAudienceModelArn"),
    "GetAudienceModel": DataOperation("audience_models", "audienceModelArn"),
    "GetTrainingDataset": DataOperation("training_datasets", "trainingDatasetArn"),
}
OPERATIONS = (*LIST_OPERATIONS, *GET_OPERATIONS)


@cache
def _routes() -> list[tuple[str, str, re.Pattern[str]]]:
    routes = []
    for operation in OPERATIONS:
        http = operation_model(operation).http
        # Clients percent-encode the slashes of an ARN, so it is one segment of the raw path.
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", http["requestUri"])
        routes.append((operation, http["method"], re.compile(pattern)))
    return routes


def find_operation(method: str, raw_path: str) -> tuple[str, dict[str, str]]:
    """Return the operation of a request, and the inputs in its path."""
    for operation, operation_method, pattern in _routes():
        match = pattern.fullmatch(raw_path)
        if match and operation_method == method:
            inputs = match.groupdict()
            return operation, {name: unquote(value) for name, value in inputs.items()}
    message = "The requested operation is not known, or not one the sandbox emulates."
    raise ApiError(HTTPStatus.NOT_FOUND, "UnknownOperationException", message)


@dataclass(frozen=True, slots=True)
class TokenPosition:
    """A position in a list: its start, or after the item created at `after_ms`.

    `empty_pages` counts the empty pages that a fault has returned there.
    """

    after_ms: int | None = None
    empty_pages: int = 0


_TOKEN_FORMAT = struct.Struct(">?qH")
_DIGEST_BYTES = 12
_PADDING_START = "~"
# Every character that has a meaning in a URL or a form.
_PADDING = "+/=%&?#aZ09"


def encode_token(position: TokenPosition, list_key: str, *, long: bool = False) -> str:
    """Return a token for a position in the list that `list_key` identifies."""
    after_ms = position.after_ms
    data = _TOKEN_FORMAT.pack(after_ms is not None, after_ms or 0, position.empty_pages)
    token = urlsafe_b64encode(data + _token_digest(data, list_key)).decode().rstrip("=")
    return _padded(token) if long else token


def decode_token(token: str, list_key: str) -> TokenPosition:
    """Return the position of a token.

    Raises ApiError if the token is damaged or belongs to another list.
    """
    short = token.partition(_PADDING_START)[0]
    if token not in {short, _padded(short)}:
        raise validation_error("Invalid nextToken")
    try:
        content = urlsafe_b64decode(short + "=" * (-len(short) % 4))
        data, digest = content[: _TOKEN_FORMAT.size], content[_TOKEN_FORMAT.size :]
        has_item, after_ms, empty_pages = _TOKEN_FORMAT.unpack(data)
    except (ValueError, struct.error):
        raise validation_error("Invalid nextToken") from None
    position = TokenPosition(after_ms if has_item else None, empty_pages)
    # Compared as text too, because several base64 texts can decode to the same bytes.
    genuine = compare_digest(digest, _token_digest(data, list_key))
    if not genuine or short != encode_token(position, list_key):
        raise validation_error("Invalid nextToken")
    return position


def _token_digest(data: bytes, list_key: str) -> bytes:
    return blake2b(data + list_key.encode(), digest_size=_DIGEST_BYTES).digest()


def _padded(token: str) -> str:
    padding = _PADDING * (MAX_TOKEN_LENGTH // len(_PADDING) + 1)
    return f"{token}{_PADDING_START}{padding}"[:MAX_TOKEN_LENGTH]


@dataclass(frozen=True, slots=True)
class ApiCall:
    """An authenticated call with valid inputs."""

    operation: str
    inputs: Inputs
    caller: SandboxCaller
    region: str
    receive: Receive = field(repr=False)
    long_tokens: bool = False

    @property
    def is_list(self) -> bool:
        return self.operation in LIST_OPERATIONS

    @property
    def next_token(self) -> str | None:
        token = self.inputs.get("nextToken")
        return None if token is None else str(token)

    @property
    def page_size(self) -> int:
        return int(self.inputs.get("maxResults", DEFAULT_PAGE_SIZE))

    @property
    def filters(self) -> Inputs:
        paging = {"nextToken", "maxResults"}
        return {name: value for name, value in self.inputs.items() if name not in paging}

    @property
    def list_key(self) -> str:
        """Identifies the list that tokens are valid for."""
        filters = sorted(self.filters.items())
        return repr((self.operation, self.caller.account_id, self.region, filters))

    @property
    def position(self) -> TokenPosition:
        token = self.next_token
        return TokenPosition() if token is None else decode_token(token, self.list_key)


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A response without the headers that all responses have."""

    body: bytes
    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"
    # Sends the body in pieces, with pauses or additions, instead of at once.
    stream: Callable[[bytes], AsyncIterator[bytes]] | None = None


Handler = Callable[[ApiCall], Awaitable[ApiResponse]]


def json_error(error: ApiError) -> ApiResponse:
    headers = {"x-amzn-ErrorType": error.code, **error.headers}
    return ApiResponse(orjson.dumps({"message": error.message}), error.status, headers)


@dataclass(slots=True)
class LoggedCall:
    """A call in the log; `status` stays None while there is no response."""

    operation: str | None
    parameters: Mapping[str, object]
    request_id: str
    access_key_id: str | None = None
    region: str | None = None
    status: int | None = None


class CallLog:
    """The most recent calls, oldest first."""

    _MAX_CALLS = 10_000

    def __init__(self, seed: int) -> None:
        self._seed = Seed(seed)
        self._received = 0
        self._calls: deque[LoggedCall] = deque(maxlen=self._MAX_CALLS)

    def start(self, parameters: Mapping[str, object]) -> LoggedCall:
        """Add a call when it arrives, so that one that hangs is in the log too."""
        self._received += 1
        call = LoggedCall(None, parameters, self._seed.uuid("request", self._received))
        self._calls.append(call)
        return call

    def clear(self) -> int:
        """Remove all calls, and return their number."""
        count = len(self._calls)
        self._calls.clear()
        return count

    def describe(self) -> list[dict[str, object]]:
        return [asdict(call) for call in self._calls]


class DataService:
    """Handles the List and Get operations."""

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock

    async def handle(self, call: ApiCall) -> ApiResponse:
        account = self._accounts.get(call.caller.account_id, call.region)
        build = _page if call.is_list else _details
        return ApiResponse(orjson.dumps(build(call, account, unix_ms(self._clock()))))


def _details(call: ApiCall, account: Account, now_ms: int) -> dict[str, Any]:
    operation = GET_OPERATIONS[call.operation]
    arn = str(call.inputs[operation.member])
    record = operation.collection_of(account).find(arn)
    if record is None:
        # A resource of another account is not found either.
        message = f"Resource not found: {arn}"
        raise ApiError(HTTPStatus.NOT_FOUND, "ResourceNotFoundException", message)
    details: dict[str, Any] = output_shaper(call.operation)(record.members(now_ms))
    return details


def _page(call: ApiCall, account: Account, now_ms: int) -> dict[str, Any]:
    operation = LIST_OPERATIONS[call.operation]
    records, has_more = _matching(call, operation.collection_of(account))
    page: dict[str, Any] = {
        operation.member: [_row(call.operation, record, account, now_ms) for record in records]
    }
    if has_more:
        position = TokenPosition(records[-1].created_ms)
        page["nextToken"] = encode_token(position, call.list_key, long=call.long_tokens)
    return page


def _matching(call: ApiCall, collection: Collection) -> tuple[list[Record], bool]:
    """Return the records of a page, and whether more follow."""
    # Positions are times, not counts, so that a new job does not shift the pages.
    after_ms = call.position.after_ms
    start = 0 if after_ms is None else index_after(collection, after_ms)
    filters, page_size = call.filters, call.page_size
    found: list[Record] = []
    for index in range(start, len(collection)):
        record = collection[index]
        if not record.matches(filters):
            continue
        if len(found) == page_size:
            return found, True
        found.append(record)
    return found, False


def _row(operation: str, record: Record, account: Account, now_ms: int) -> orjson.Fragment:
    row = account.settled_rows.get(record)
    if row is None:
        shape_row = output_shaper(operation, LIST_OPERATIONS[operation].member)
        row = orjson.Fragment(orjson.dumps(shape_row(record.members(now_ms))))
        if record.is_settled(now_ms):
            account.settled_rows[record] = row
    return row
