"""What a PyTorch weight file (`.bin`, `.pt`) holds and where, read from its directory alone. Imports no torch.

Since PyTorch 1.6 such a file is a zip archive whose members are stored uncompressed: `data.pkl`, a pickle of the
names, shapes and storage keys of the tensors, and one member `data/<key>` a storage
(https://pytorch.org/docs/stable/notes/serialization.html). A pickle can name any code; this reader resolves the few
names that weights need to plain values of its own, and refuses every other, so nothing from the file ever runs.
"""

import io
import pickle
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

from saturation.errors import CheckpointError

# The directory and the pickle take about 75 and 110 bytes a tensor: one block each for most models.
BLOCK = 32_768
MAX_PICKLE_BYTES = 64_000_000
# The operations with which torch.save writes weights: constants, containers, and calls of the names below.
OPERATIONS = {
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
    *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"),
    *("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "SETITEM", "SETITEMS", "APPEND", "APPENDS"),
    *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "BINPERSID"),
}
# What the zip and pickle readers raise for bytes that make no sense.
NONSENSE = (
    pickle.UnpicklingError,
    zlib.error,
    struct.error,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    StopIteration,
    RuntimeError,
    ArithmeticError,
    MemoryError,
    OSError,
)
LOCAL_HEADER = struct.Struct("<4s22xHH")
# Types as safetensors names them, with their bytes per element.
STORAGES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
    "UntypedStorage": "U8",
}
DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
ITEM_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2} | dict.fromkeys(
    ("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2"), 1
)


@dataclass(frozen=True)
class ZipTensor:
    """One tensor of a file: its type, shape, strides and first element (in elements), and its member of the archive.

    member: where the member's own header starts in the file. member_bytes: length of the storage.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    first: int
    member: int
    member_bytes: int

    @classmethod
    def from_json(cls, name: str, item: dict[str, Any]) -> "ZipTensor":
        shape, stride = tuple(item["shape"]), tuple(item["stride"])
        return cls(name, item["dtype"], shape, stride, item["first"], item["member"], item["member_bytes"])

    @property
    def numel(self) -> int:
        return prod(self.shape)

    @property
    def span(self) -> int:
        """Elements of the storage from the tensor's first to its last."""
        if 0 in self.shape:
            return 0
        return 1 + sum((length - 1) * stride for length, stride in zip(self.shape, self.stride, strict=True))


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: str


@dataclass(frozen=True)
class _View:
    storage: _Storage
    first: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: str


class RangedFile(io.RawIOBase):
    """A read-only seekable file over `read(start, stop)`; reads whole blocks, and the last block at once."""

    def __init__(self, read: Callable[[int, int], bytes | bytearray], size: int) -> None:
        self._read = read
        self._size = size
        self._at = 0
        self._blocks: dict[int, bytes | bytearray] = {}

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if at < 0:
            raise OSError("negative seek position")
        self._at = at
        return at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        data = self._get(self._at, self._at + wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _get(self, start: int, stop: int) -> bytes | bytearray:
        """Bytes from start on, up to stop or the end of their block."""
        for first, block in self._blocks.items():
            if first <= start < first + len(block):
                return block[start - first : stop - first]
        # Near the end lies the archive's directory: its last block is read whole.
        last = max(self._size - BLOCK, 0)
        first = last if start >= last else start - start % BLOCK
        self._blocks[first] = self._read(first, min(first + BLOCK, self._size))
        return self._blocks[first][start - first : stop - first]


class _CodeError(Exception):
    """The pickle asks for something that weights do not need."""


def _tensors_of(data: bytes) -> Any:
    """The object of a pickle. Looks at every operation first: a hostile one can ask for endless memory."""
    for operation, argument, _ in pickletools.genops(data):
        if operation.name not in OPERATIONS:
            raise _CodeError(operation.name)
        if operation.name == "LONG_BINPUT" and int(argument or 0) > len(data):
            raise ValueError("a place in the memo that no pickle of this length needs")
    return _Names(io.BytesIO(data)).load()


class _Names(pickle.Unpickler):
    """Reads a pickle of tensors without their bytes; every name outside a short list is refused."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        # Made anew for each file: a pickle may set attributes on what it builds.
        self._mapping = type("Mapping", (dict,), {})

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): self._mapping,
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_tensor_v3"): self._typed_tensor,
            ("torch._utils", "_rebuild_parameter"): self._parameter,
            ("torch", "Size"): tuple,
        }
        if (module, name) in known:
            return known[module, name]
        if module in ("torch", "torch.storage") and name in STORAGES:
            return STORAGES[name]
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        raise _CodeError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key = pid[:3]
        if kind != "storage" or not isinstance(key, str) or dtype not in ITEM_BYTES:
            raise pickle.UnpicklingError("an unknown kind of storage")
        return _Storage(key, dtype)

    def _tensor(self, storage: _Storage, first: int, shape: Any, stride: Any, *rest: Any) -> _View:
        return _View(storage, first, tuple(shape), tuple(stride), storage.dtype)

    def _typed_tensor(
        self, storage: _Storage, first: int, shape: Any, stride: Any, grad: Any, hooks: Any, dtype: str, *rest: Any
    ) -> _View:
        return _View(storage, first, tuple(shape), tuple(stride), dtype)

    def _parameter(self, data: _View, *rest: Any) -> _View:
        return data


def contents(stream: io.RawIOBase, where: str) -> dict[str, ZipTensor]:
    """The tensors of a PyTorch file by name. where: how errors name the file.

    Raises CheckpointError for a file that is no such archive, is damaged, or asks for code.
    """
    try:
        with zipfile.ZipFile(io.BufferedReader(stream, 4096)) as archive:
            members = {member.filename: member for member in archive.infolist()}
            folder = next(name for name in members if name.endswith("/data.pkl")).removesuffix("data.pkl")
            if members[f"{folder}data.pkl"].file_size > MAX_PICKLE_BYTES:
                raise ValueError("the list of tensors is too long")
            order = f"{folder}byteorder"
            if order in members and archive.read(order).strip() != b"little":
                raise ValueError("big-endian")
            found = _tensors_of(archive.read(f"{folder}data.pkl"))
        state = found.get("state_dict", found)
        return {
            str(name): _placed(str(name), view, members[f"{folder}data/{view.storage.key}"])
            for name, view in state.items()
            if isinstance(view, _View)
        }
    except zipfile.BadZipFile as error:
        raise CheckpointError(
            f"{where} is no sound zip archive (saved before PyTorch 1.6, or damaged) and cannot be read in part; "
            "save it as safetensors, or choose another revision."
        ) from error
    except _CodeError as error:
        raise CheckpointError(
            f"{where} holds more than plain weights ({error}), and code from a checkpoint is never run; "
            "save it as safetensors, or choose another revision."
        ) from error
    except NONSENSE as error:
        raise CheckpointError(
            f"{where} cannot be read as plain weights ({type(error).__name__}); "
            "save it as safetensors, or choose another revision."
        ) from error


def _placed(name: str, view: _View, member: zipfile.ZipInfo) -> ZipTensor:
    """The tensor with its member, checked: whole numbers, uncompressed, inside the storage."""
    numbers = [view.first, *view.shape, *view.stride]
    tensor = ZipTensor(name, view.dtype, view.shape, view.stride, view.first, member.header_offset, member.file_size)
    if not all(type(number) is int and number >= 0 for number in numbers) or member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is no plain tensor")
    # A view that repeats elements (stride 0) would be larger than what is stored.
    if (tensor.first + max(tensor.span, tensor.numel)) * ITEM_BYTES[view.dtype] > member.file_size:
        raise ValueError(f"{name} lies outside its storage")
    return tensor


def extent(tensor: ZipTensor, header: bytes | bytearray, where: str) -> tuple[int, int]:
    """Bytes [start, stop) of a tensor in the file. header: the LOCAL_HEADER.size bytes at tensor.member.

    The member's own header has padding that the directory does not tell. Raises CheckpointError.
    """
    magic, name, extra = LOCAL_HEADER.unpack(header) if len(header) == LOCAL_HEADER.size else (b"", 0, 0)
    if magic != b"PK\x03\x04":
        raise CheckpointError(f"The directory of {where} is damaged; choose another revision.")
    start = tensor.member + LOCAL_HEADER.size + name + extra + tensor.first * ITEM_BYTES[tensor.dtype]
    return start, start + tensor.span * ITEM_BYTES[tensor.dtype]
