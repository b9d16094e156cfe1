"""Merkle trees as RFC 6962 has them: roots, proofs that an entry is in a tree, and that a tree continues another.

Trees are given as the hashes of their leaves, each made by `leaf_hash`. A range of leaves is covered by the fewest
subtrees that are whole in every tree of that size: what a lawful removal leaves behind of the records in the range.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

_sha256 = hashlib.sha256


class ProofError(ValueError):
    """A proof does not hold."""


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of a leaf."""
    return _sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node above two others."""
    return _sha256(b"\x01" + left + right).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Return the root above leaves, level by level: a node without a neighbour goes up as it is."""
    if not leaves:
        return EMPTY_ROOT
    level = list(leaves)
    while len(level) > 1:
        level = _level_above(level)
    return level[0]


class TreeLevels:
    """All nodes of a tree, for who needs many paths of it: each is looked up then, and nothing is hashed again.

    Args:
        leaves: Hashes; 64 bytes of memory for each.
    """

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._levels = [list(leaves)]
        while len(self._levels[-1]) > 1:
            self._levels.append(_level_above(self._levels[-1]))

    @property
    def root(self) -> bytes:
        """The root, as `root_of`."""
        return self._levels[-1][0] if self._levels[-1] else EMPTY_ROOT

    def path(self, index: int) -> list[bytes]:
        """Return the path of a leaf, as `inclusion_proof`.

        Raises:
            IndexError: The tree has no such leaf.
        """
        if not 0 <= index < len(self._levels[0]):
            raise IndexError(index)
        # A node without a neighbour goes up as it is.
        places = ((level, (index >> height) ^ 1) for height, level in enumerate(self._levels))
        return [level[place] for level, place in places if len(level) > 1 and place < len(level)]


def _level_above(level: Sequence[bytes]) -> list[bytes]:
    above = [_sha256(b"\x01" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]
    return [*above, level[-1]] if len(level) % 2 else above


def split_size(size: int) -> int:
    """Return how many leaves are left of the middle: the largest power of two below the size."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the audit path of a leaf, from its neighbour up to the child of the root.

    Raises:
        IndexError: The tree has no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    path: list[bytes] = []
    begin, end = 0, len(leaves)
    while end - begin > 1:
        middle = begin + split_size(end - begin)
        if index < middle:
            path.append(root_of(leaves[middle:end]))
            end = middle
        else:
            path.append(root_of(leaves[begin:middle]))
            begin = middle
    return path[::-1]


def root_by_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root to which the path of a leaf leads.

    Raises:
        ProofError: The path is not one of that place in a tree of that size.
    """
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} has no leaf {index}")
    node, last, rest, steps = leaf, size - 1, index, iter(path)
    while last > 0:
        # A node without a neighbour goes up as it is.
        if rest % 2 or rest < last:
            neighbour = next(steps, None)
            if neighbour is None or len(neighbour) != HASH_BYTES:
                raise ProofError("the path is too short, or has something else than hashes in it")
            node = node_hash(neighbour, node) if rest % 2 else node_hash(node, neighbour)
        rest //= 2
        last //= 2
    if next(steps, None) is not None:
        raise ProofError("the path is too long")
    return node


def consistency_proof(leaves: Sequence[bytes], earlier: int) -> list[bytes]:
    """Return the proof that a tree begins with the tree of its first leaves.

    Raises:
        IndexError: The earlier tree is larger.
    """
    if not 0 <= earlier <= len(leaves):
        raise IndexError(earlier)
    if not earlier:
        return []
    path: list[bytes] = []
    begin, end, whole = 0, len(leaves), True
    while earlier != end:
        middle = begin + split_size(end - begin)
        if earlier <= middle:
            path.append(root_of(leaves[middle:end]))
            end = middle
        else:
            path.append(root_of(leaves[begin:middle]))
            begin, whole = middle, False
    if not whole:
        path.append(root_of(leaves[begin:end]))
    return path[::-1]


def check_consistency(earlier: int, earlier_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> None:
    """Check the proof that one tree continues another.

    Raises:
        ProofError: It does not, or that is not shown.
    """
    if not 0 <= earlier <= size or any(len(node) != HASH_BYTES for node in path):
        raise ProofError("the sizes or hashes of the proof are none")
    if earlier in (0, size):
        if path or (earlier and earlier_root != root):
            raise ProofError("two trees of one size have different roots, or their proof is not empty")
    elif _roots_by_consistency(earlier, earlier_root, size, path) != (earlier_root, root):
        raise ProofError("the later tree does not begin with the earlier one")


def _roots_by_consistency(earlier: int, earlier_root: bytes, size: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the roots of the earlier and the later tree to which a proof leads; 0 < earlier < size."""
    rest, last = earlier - 1, size - 1
    while rest % 2:
        rest, last = rest // 2, last // 2
    # An earlier tree that is one whole subtree of the later one is not in the proof: who checks it knows its root.
    steps = iter(path if rest else (earlier_root, *path))
    old = new = _next_node(steps)
    while last:
        if rest % 2:
            node = _next_node(steps)
            old, new = node_hash(node, old), node_hash(node, new)
        elif rest < last:
            new = node_hash(new, _next_node(steps))
        rest, last = rest // 2, last // 2
    if next(steps, None) is not None:
        raise ProofError("the proof is too long")
    return old, new


def _next_node(steps: Iterator[bytes]) -> bytes:
    node = next(steps, None)
    if node is None:
        raise ProofError("the proof is too short")
    return node


def subtrees_of_range(begin: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    """Give the fewest whole subtrees that cover a range of leaves, as ranges, from left to right.

    Raises:
        IndexError: The range is not one of the tree.
    """
    if not 0 <= begin <= end <= size:
        raise IndexError((begin, end))
    waiting = [(0, size)] if size else []
    while waiting:
        first, last = waiting.pop()
        if last <= begin or end <= first:
            continue
        if begin <= first and last <= end:
            yield first, last
            continue
        middle = first + split_size(last - first)
        waiting += [(middle, last), (first, middle)]


def root_with_subtrees(size: int, leaves: Mapping[int, bytes], subtrees: Mapping[tuple[int, int], bytes]) -> bytes:
    """Return the root of a tree of which some leaves are known, and only subtrees of the others.

    Args:
        leaves: Hashes by index.
        subtrees: Hashes by range, as `subtrees_of_range` cuts them.

    Raises:
        ProofError: Something of the tree is in neither.
    """
    if not size:
        return EMPTY_ROOT

    def hash_of(part: tuple[int, int]) -> bytes | None:
        return subtrees.get(part) or (leaves.get(part[0]) if part[1] - part[0] == 1 else None)

    return node_of((0, size), hash_of)


def path_with_subtrees(
    size: int, leaves: Mapping[int, bytes], subtrees: Mapping[tuple[int, int], bytes], index: int
) -> list[bytes]:
    """Return the path of a leaf, as `inclusion_proof`, in a tree as `root_with_subtrees` takes it.

    Raises:
        ProofError: Something of the tree is in neither.
    """

    def hash_of(part: tuple[int, int]) -> bytes | None:
        return subtrees.get(part) or (leaves.get(part[0]) if part[1] - part[0] == 1 else None)

    path: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + split_size(end - begin)
        if index < middle:
            path.append(node_of((middle, end), hash_of))
            end = middle
        else:
            path.append(node_of((begin, middle), hash_of))
            begin = middle
    return path[::-1]


def node_of(part: tuple[int, int], hash_of: Callable[[tuple[int, int]], bytes | None]) -> bytes:
    """Return the hash of a subtree from the hashes of its parts.

    Args:
        part: Its range of leaves.
        hash_of: Returns the hash of a part, down to single leaves; None where it has none.

    Raises:
        ProofError: A leaf is in no part that is known.
    """
    ready: list[bytes] = []
    # Parts to look at, and None to join the two that are ready.
    waiting: list[tuple[int, int] | None] = [part]
    while waiting:
        following = waiting.pop()
        if following is None:
            right, left = ready.pop(), ready.pop()
            ready.append(node_hash(left, right))
            continue
        first, last = following
        node = hash_of(following)
        if node is not None:
            ready.append(node)
        elif last - first == 1:
            raise ProofError(f"nothing is known of leaf {first}")
        else:
            middle = first + split_size(last - first)
            waiting += [None, (middle, last), (first, middle)]
    return ready[0]


def roots_of_first(leaves: Iterable[bytes], sizes: Iterable[int]) -> dict[int, bytes]:
    """Return the root of the tree of the first leaves, for each of some sizes, going through the leaves once."""
    wanted = set(sizes)
    roots = {0: EMPTY_ROOT} if 0 in wanted else {}
    # The whole subtrees so far, the largest first, with how many leaves each has.
    whole: list[tuple[int, bytes]] = []
    for size, leaf in enumerate(leaves, 1):
        count, node = 1, leaf
        while whole and whole[-1][0] == count:
            node = node_hash(whole.pop()[1], node)
            count *= 2
        whole.append((count, node))
        if size in wanted:
            root = node
            for _, left in reversed(whole[:-1]):
                root = node_hash(left, root)
            roots[size] = root
    return roots
