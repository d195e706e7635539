"""The weights of a checkpoint on the hub, read as `weights.WeightFiles` reads those of a folder: the same names, the
same tensors, the same content id, at the cost of a listing, a header and the tensor's own bytes.
"""

import hashlib
import json
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch

from saturation.checkpoints import torch_zip
from saturation.checkpoints.head import is_buffer
from saturation.checkpoints.header import DTYPES, TensorEntry, decode, header_length, parse_header
from saturation.checkpoints.hub_answers import Place
from saturation.checkpoints.hub_errors import HubDamagedError, HubError
from saturation.checkpoints.hub_files import RemoteFile, cached
from saturation.checkpoints.hub_http import Connection
from saturation.checkpoints.hub_listing import kept_folder, tree
from saturation.checkpoints.hub_pieces import Pieces, limit_from_environment
from saturation.checkpoints.hub_snapshot import layout_of, shards_of
from saturation.checkpoints.torch_zip import ZipTensor
from saturation.errors import CheckpointError

# The header of a model of 36 layers in one file takes 50 kB, and a listing, an index and this much stay under 200 kB.
FIRST_BYTES = 65_536
SHARD = re.compile(r"(?:model|pytorch_model)-\d{5}-of-\d{5}\.(?:safetensors|bin)")
Entry = TensorEntry | ZipTensor


class HubWeights:
    """The weight files of one commit of a hub repository.

    repo: `organisation/name`. commit: 40 hexadecimal digits. cache: the cache folder in force; what is read is kept
    in its hub/ folder. revision: the branch or tag, as errors name it. Nothing is read before it is asked for.
    """

    def __init__(
        self,
        repo: str,
        commit: str,
        cache: Path | None = None,
        *,
        revision: str | None = None,
        connection: Connection | None = None,
    ) -> None:
        self.repo = repo
        self.commit = commit
        self.revision = revision
        self._cache = cache
        self._connection = connection or Connection()
        self._received_before = self._connection.bytes_received
        self._pieces = Pieces(kept_folder(cache) / "tensors", limit_from_environment())
        self._entries: dict[str, dict[str, Entry]] = {}

    @property
    def bytes_read(self) -> int:
        """Bytes received from the network so far: listing, index, headers and tensors, failed attempts included."""
        return self._connection.bytes_received - self._received_before

    def _place(self, file: str | None = None) -> Place:
        return Place(self.repo, self.revision or self.commit, file)

    @cached_property
    def _tree(self) -> dict[str, RemoteFile]:
        return tree(self.repo, self.commit, self._cache, revision=self.revision, connection=self._connection)

    @cached_property
    def _layout(self) -> RemoteFile:
        return self._tree[layout_of(self._tree, self._place())]

    @property
    def _sharded(self) -> bool:
        return self._layout.name.endswith(".json")

    @cached_property
    def _index(self) -> tuple[dict[str, str], dict[str, Any]]:
        """Shard by tensor, and the metadata of the index."""
        file = self._layout
        kept = self._pieces.get(file.content_id, "index")
        data = kept if kept is not None else self._range(file, 0, file.size)
        found = shards_of(data, self._tree, self._place())
        if kept is None:
            self._keep(file, "index", data)
        return found

    @cached_property
    def files(self) -> tuple[RemoteFile, ...]:
        """The weight files in order; those of a sharded model by their usual names, else from the index."""
        if not self._sharded:
            return (self._layout,)
        suffix = ".safetensors" if ".safetensors." in self._layout.name else ".bin"
        names = [name for name in self._tree if SHARD.fullmatch(name) and name.endswith(suffix)]
        return tuple(self._tree[name] for name in sorted(names or set(self._index[0].values())))

    @property
    def names(self) -> list[str]:
        return list(self._index[0]) if self._sharded else list(self._held(self._layout))

    def parameters(self, without: str | None = None) -> int | None:
        """How many weights there are, each counted once; `without` leaves out a second copy of a tied tensor.

        Of a sharded model what its index tells; None where only the headers of all shards would.
        """
        if not self._sharded:
            held = self._held(self._layout).values()
            return sum(entry.numel for entry in held if entry.name != without and not is_buffer(entry.name))
        shards, metadata = self._index
        stated = metadata.get("total_parameters")
        if isinstance(stated, int):
            # transformers counts a tied tensor once here, whatever the files hold.
            return stated
        size = metadata.get("total_size")
        if not isinstance(size, int | float) or any(is_buffer(name) for name in shards):
            return None
        # The weights of a checkpoint share one type, so any shard tells it; the copy's own shard tells its shape too.
        known = next(iter(self._entries), next(iter(shards.values())))
        held_here = self._held(self._tree[shards.get(without or "", known)])
        item_bytes = {torch_zip.ITEM_BYTES.get(entry.dtype) for entry in held_here.values()}
        if len(item_bytes) != 1 or None in item_bytes:
            return None
        total, rest = divmod(int(size), cast(int, item_bytes.pop()))
        copy = held_here[without].numel if without in held_here else 0
        return None if rest else total - copy

    def read(self, name: str) -> tuple[torch.Tensor, int]:
        """One tensor in the dtype of the file, and its bytes (`bytes_read` tells what came over the network).

        Raises HubError; what arrived until then is kept and the next call goes on from there.
        """
        if name not in self.names:
            raise CheckpointError(f"{self._place()} holds no tensor '{name}'; choose one of its names.")
        file = self._tree[self._index[0][name]] if self._sharded else self._layout
        entry = self._held(file).get(name)
        if entry is None:
            raise HubDamagedError(f"{self._place(file.name)} lacks the tensor {name} that its index lists.")
        self._refuse_unreadable(entry, file)
        if isinstance(entry, TensorEntry):
            data = self._tensor(file, name, lambda: (entry.start, entry.stop))
            return decode(entry, data), len(data)
        data = self._tensor(file, name, lambda: self._extent(entry, file))
        flat = decode(TensorEntry(name, entry.dtype, (entry.span,), 0, len(data)), data)
        return torch.as_strided(flat, entry.shape, entry.stride).contiguous(), len(data)

    def content_id(self) -> str:
        """`sha256:` and the hash over the files' own hashes, known from the listing alone.

        The same that `weights.WeightFiles` computes of the downloaded files; `hub:` where the hub lists other ids.
        """
        digest = hashlib.sha256()
        plain = all(file.content_id.startswith("sha256:") for file in self.files)
        for file in self.files:
            digest.update(bytes.fromhex(file.hash) if plain else f"{file.content_id}\n".encode())
        return f"{'sha256' if plain else 'hub'}:{digest.hexdigest()}"

    def size(self) -> int:
        """Bytes of all weight files."""
        return sum(file.size for file in self.files)

    def _held(self, file: RemoteFile) -> dict[str, Entry]:
        """The tensors of one file by name."""
        if file.name not in self._entries:
            read = self._safetensors if file.name.endswith(".safetensors") else self._torch_file
            try:
                self._entries[file.name] = read(file)
            except HubError:
                raise
            except CheckpointError as error:
                raise HubDamagedError(str(error)) from error
        return self._entries[file.name]

    def _safetensors(self, file: RemoteFile) -> dict[str, Entry]:
        where = str(self._place(file.name))
        kept = self._pieces.get(file.content_id, "header")
        data = kept if kept is not None else self._range(file, 0, min(file.size, FIRST_BYTES))
        stop = 8 + header_length(bytes(data[:8]), where)
        if stop <= file.size:
            data = self._range(file, 0, stop, data)
            entries = parse_header(bytes(data[8:stop]), where, file.size)
        if stop > file.size or not all(_plausible(entry, stop) for entry in entries.values()):
            raise HubDamagedError(f"The header of {where} is damaged; try again later, or choose another revision.")
        if kept is None:
            self._keep(file, "header", data[:stop])
        return dict(entries)

    def _torch_file(self, file: RemoteFile) -> dict[str, Entry]:
        kept = self._pieces.get(file.content_id, "directory")
        if kept is not None:
            return {name: ZipTensor.from_json(name, item) for name, item in json.loads(kept).items()}
        where = self._place(file.name)
        stream = torch_zip.RangedFile(lambda start, stop: self._range(file, start, stop), file.size)
        found = torch_zip.contents(stream, str(where))
        if not found:
            raise HubDamagedError(f"{where} holds no tensors; choose another revision.")
        self._keep(file, "directory", json.dumps({name: vars(entry) for name, entry in found.items()}).encode())
        return dict(found)

    def _extent(self, entry: ZipTensor, file: RemoteFile) -> tuple[int, int]:
        header = self._range(file, entry.member, entry.member + torch_zip.LOCAL_HEADER.size)
        return torch_zip.extent(entry, header, str(self._place(file.name)))

    def _refuse_unreadable(self, entry: Entry, file: RemoteFile) -> None:
        """Say what cannot be decoded before its bytes are paid for."""
        if entry.dtype not in DTYPES:
            raise CheckpointError(
                f"The tensor {entry.name} of {self._place(file.name)} has the type {entry.dtype}; "
                "only floating-point weights can be measured."
            )

    def _tensor(self, file: RemoteFile, name: str, extent: Callable[[], tuple[int, int]]) -> bytearray:
        """The bytes of a tensor: kept, or read now; what arrives of a read that fails is kept for the next."""
        part, begun = f"tensor {name}", f"tensor {name}, begun"
        kept = self._pieces.get(file.content_id, part)
        if kept is not None:
            return kept
        start, stop = extent()
        data = self._pieces.get(file.content_id, begun) or bytearray()
        before = len(data)
        try:
            self._range(file, start, stop, data)
        finally:
            if before < len(data) < stop - start:
                self._keep(file, begun, data)
        self._keep(file, part, data)
        self._pieces.drop(file.content_id, begun)
        return data

    def _range(self, file: RemoteFile, start: int, stop: int, begun: bytearray | None = None) -> bytearray:
        """Bytes [start, stop) of a file, from the hub's own cache where the whole file lies there. begun: the first."""
        data = bytearray() if begun is None else begun
        local = cached(self.repo, self.commit, file.name)
        if local is None:
            return self._connection.read_range(
                self.repo, self.commit, file.name, start, stop, size=file.size, revision=self.revision, into=data
            )
        with local.open("rb") as stream:
            stream.seek(start + len(data))
            data += stream.read(max(stop - start - len(data), 0))
        if len(data) < stop - start:
            raise HubDamagedError(f"{self._place(file.name)} is cut off in the hub's cache ({local}); remove it there.")
        return data

    def _keep(self, file: RemoteFile, part: str, data: bytes | bytearray) -> None:
        """Keep what has proved sound; a file that lies here whole needs no second copy of its parts."""
        if cached(self.repo, self.commit, file.name) is None:
            self._pieces.put(file.content_id, part, data)


def _plausible(entry: TensorEntry, header: int) -> bool:
    """Whether a header's entry has whole numbers, and as many bytes as its shape needs, after the header."""
    numbers = (*entry.shape, entry.start, entry.stop)
    if not all(type(number) is int and number >= 0 for number in numbers):
        return False
    item = torch_zip.ITEM_BYTES.get(entry.dtype)
    length = entry.stop - entry.start
    return entry.start >= header and length >= 0 and (item is None or length == entry.numel * item)
