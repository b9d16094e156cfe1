"""Merkle trees against the definition of RFC 6962, written down as it stands there, and against published roots."""

from __future__ import annotations

import hashlib
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldv_otel._internal.tamper.tree import (
    EMPTY_ROOT,
    ProofError,
    TreeLevels,
    check_consistency,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_by_inclusion,
    root_of,
    root_with_subtrees,
    roots_of_first,
    subtrees_of_range,
)
from tests.support.chance import examples

#: The tree of the tests of Certificate Transparency, which its implementations share: entries, and roots by size.
CT_ENTRIES: Final = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
CT_ROOTS: Final = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)

sizes = st.integers(1, 70)


def tree(size: int) -> list[bytes]:
    """Leaves of a tree: those of larger trees begin with those of smaller ones."""
    return [leaf_hash(str(number).encode()) for number in range(size)]


def defined_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, as it is defined."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = max(2**power for power in range(len(leaves).bit_length()) if 2**power < len(leaves))
    return node_hash(defined_root(leaves[:k]), defined_root(leaves[k:]))


def defined_path(leaves: list[bytes], m: int) -> list[bytes]:
    """PATH of RFC 6962, 2.1.1."""
    if len(leaves) == 1:
        return []
    k = max(2**power for power in range(len(leaves).bit_length()) if 2**power < len(leaves))
    if m < k:
        return [*defined_path(leaves[:k], m), defined_root(leaves[k:])]
    return [*defined_path(leaves[k:], m - k), defined_root(leaves[:k])]


def defined_subproof(leaves: list[bytes], m: int, *, whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 6962, 2.1.2; with `whole` it is PROOF."""
    n = len(leaves)
    if m == n:
        return [] if whole else [defined_root(leaves)]
    k = max(2**power for power in range(n.bit_length()) if 2**power < n)
    if m <= k:
        return [*defined_subproof(leaves[:k], m, whole=whole), defined_root(leaves[k:])]
    return [*defined_subproof(leaves[k:], m - k, whole=False), defined_root(leaves[:k])]


def test_roots_are_the_published_ones() -> None:
    """Of the tree that implementations of Certificate Transparency test with."""
    leaves = [leaf_hash(bytes.fromhex(entry)) for entry in CT_ENTRIES]
    assert [root_of(leaves[:size]).hex() for size in range(1, 9)] == list(CT_ROOTS)
    assert root_of([]) == EMPTY_ROOT


@pytest.mark.parametrize("size", range(1, 40))
def test_roots_and_proofs_are_those_of_the_definition(size: int) -> None:
    """Of every leaf and every earlier tree, for each size; and they hold."""
    leaves = tree(size)
    root = root_of(leaves)
    assert root == defined_root(leaves)
    for index in range(size):
        path = inclusion_proof(leaves, index)
        assert path == defined_path(leaves, index)
        assert root_by_inclusion(leaves[index], index, size, path) == root
    for earlier in range(1, size + 1):
        proof = consistency_proof(leaves, earlier)
        assert proof == defined_subproof(leaves, earlier)
        check_consistency(earlier, root_of(leaves[:earlier]), size, root, proof)
    assert consistency_proof(leaves, 0) == []
    check_consistency(0, EMPTY_ROOT, size, root, [])


@settings(max_examples=examples(200))
@given(st.integers(0, 70))
def test_the_roots_of_all_trees_of_first_leaves(size: int) -> None:
    """In one way through the leaves, what the definition gives for each."""
    leaves = tree(size)
    roots = {first: defined_root(leaves[:first]) for first in range(size + 1)}
    assert roots_of_first(leaves, range(size + 1)) == roots
    assert roots_of_first(iter(leaves), [size]) == {size: roots[size]}


@given(sizes, st.data())
def test_a_proof_of_something_else_does_not_hold(size: int, data: st.DataObject) -> None:
    """Another leaf, index, size or path leads to another root, or is refused."""
    leaves = tree(size)
    index = data.draw(st.integers(0, size - 1))
    path = inclusion_proof(leaves, index)
    wrong_leaf, wrong_index = leaf_hash(b"another"), data.draw(st.integers(-1, size + 3).filter(lambda i: i != index))
    cut = path[: data.draw(st.integers(0, len(path) - 1))] if path else [bytes(32)]
    changed = [bytes(32), *path[1:]] if path else [bytes(31)]
    for leaf, at, steps in (
        (wrong_leaf, index, path),
        (leaves[index], wrong_index, path),
        (leaves[index], index, cut),
        (leaves[index], index, [*path, bytes(32)]),
        (leaves[index], index, changed),
    ):
        try:
            assert root_by_inclusion(leaf, at, size, steps) != root_of(leaves)
        except ProofError:
            continue


@settings(max_examples=examples(200))
@given(sizes, st.data())
def test_a_tree_that_was_changed_is_no_continuation(size: int, data: st.DataObject) -> None:
    """One of the earlier leaves is another, or the proof is changed, cut or longer."""
    earlier = data.draw(st.integers(1, size))
    leaves = tree(size)
    old_root, root, proof = root_of(leaves[:earlier]), root_of(leaves), consistency_proof(leaves, earlier)
    changed = list(leaves)
    changed[data.draw(st.integers(0, earlier - 1))] = leaf_hash(b"another")
    attempts = [
        (root_of(changed), consistency_proof(changed, earlier)),
        (root, [*proof, bytes(32)]),
        (root, [*proof, b"short"]),
    ]
    if proof:
        attempts += [(root, proof[:-1]), (root, [bytes(32), *proof[1:]])]
    for new_root, steps in attempts:
        with pytest.raises(ProofError):
            check_consistency(earlier, old_root, size, new_root, steps)
    with pytest.raises(ProofError):
        check_consistency(size + 1, old_root, size, root, proof)


@settings(max_examples=examples(200))
@given(sizes, st.data())
def test_a_range_is_covered_by_the_fewest_subtrees(size: int, data: st.DataObject) -> None:
    """At most twice the height of the tree, whole and in order; with the other leaves they give the root."""
    begin = data.draw(st.integers(0, size))
    end = data.draw(st.integers(begin, size))
    leaves = tree(size)
    ranges = list(subtrees_of_range(begin, end, size))
    assert [index for first, last in ranges for index in range(first, last)] == list(range(begin, end))
    assert len(ranges) <= 2 * size.bit_length()
    subtrees = {(first, last): root_of(leaves[first:last]) for first, last in ranges}
    rest = {index: leaf for index, leaf in enumerate(leaves) if not begin <= index < end}
    assert root_with_subtrees(size, rest, subtrees) == root_of(leaves)
    if rest:
        rest.pop(next(iter(rest)))
        with pytest.raises(ProofError):
            root_with_subtrees(size, rest, subtrees)


def test_what_is_not_in_a_tree_has_no_proof() -> None:
    """A caller that asks for it has a fault."""
    with pytest.raises(IndexError):
        inclusion_proof(tree(3), 3)
    with pytest.raises(IndexError):
        consistency_proof(tree(3), 4)
    with pytest.raises(IndexError):
        list(subtrees_of_range(2, 4, 3))
    assert root_with_subtrees(0, {}, {}) == EMPTY_ROOT


def test_all_levels_give_the_paths_of_each_leaf() -> None:
    """Looked up and not hashed again; of every leaf of trees of many sizes."""
    for size in (*range(40), 255, 256, 257):
        leaves = [leaf_hash(bytes([number % 256])) for number in range(size)]
        levels = TreeLevels(leaves)
        assert levels.root == root_of(leaves)
        assert [levels.path(index) for index in range(size)] == [
            inclusion_proof(leaves, index) for index in range(size)
        ]
        with pytest.raises(IndexError):
            levels.path(size)
