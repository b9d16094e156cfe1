// Verifies notes, checkpoints and proofs that ldv_otel made, with Go's own implementation and none of ours.
//
// Reads JSON from standard input, and ends with 1 and a sentence at the first thing that does not hold.
package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type input struct {
	Notes []struct {
		Key  string
		Note string
		Text string
	}
	Trees []struct {
		Entries   []string
		Root      string
		Inclusion []struct {
			Index int64
			Path  []string
		}
		Consistency []struct {
			Size int64
			Root string
			Path []string
		}
	}
	Checkpoints []struct {
		Key  string
		Note string
		// Keys of witnesses, each of which has to have cosigned it.
		Cosigners []string
		Size      int64
		Entry     string
		Index     int64
		Path      []string
	}
}

func main() {
	var in input
	check(json.NewDecoder(os.Stdin).Decode(&in))
	for _, each := range in.Notes {
		if text := open(each.Key, each.Note); text != each.Text {
			fail("a note has another text: %q", text)
		}
	}
	for _, each := range in.Trees {
		size := int64(len(each.Entries))
		if root := rootOf(each.Entries); root != hash(each.Root) {
			fail("a tree of %d entries has another root", size)
		}
		for _, proof := range each.Inclusion {
			leaf := tlog.RecordHash([]byte(each.Entries[proof.Index]))
			check(tlog.CheckRecord(hashes(proof.Path), size, hash(each.Root), proof.Index, leaf))
		}
		for _, proof := range each.Consistency {
			check(tlog.CheckTree(hashes(proof.Path), size, hash(each.Root), proof.Size, hash(proof.Root)))
		}
	}
	for _, each := range in.Checkpoints {
		size, root := checkpoint(open(each.Key, each.Note))
		for _, key := range each.Cosigners {
			cosigned(key, each.Note)
		}
		if size != each.Size {
			fail("a checkpoint is of another size: %d", size)
		}
		check(tlog.CheckRecord(hashes(each.Path), size, root, each.Index, tlog.RecordHash([]byte(each.Entry))))
	}
	fmt.Println(len(in.Notes), "notes,", len(in.Trees), "trees and", len(in.Checkpoints), "checkpoints hold")
}

func open(key, text string) string {
	verifier, err := note.NewVerifier(key)
	check(err)
	opened, err := note.Open([]byte(text), note.VerifierList(verifier))
	check(err)
	return opened.Text
}

// cosigned checks the signature of a witness: https://c2sp.org/tlog-cosignature, which the standard library of Go's
// checksum database does not know, by its interface for other kinds of keys.
func cosigned(vkey, text string) {
	witness, err := newCosigner(vkey)
	check(err)
	opened, err := note.Open([]byte(text), note.VerifierList(witness))
	check(err)
	if len(opened.Sigs) != 1 || opened.Sigs[0].Name != witness.name {
		fail("a checkpoint is not cosigned by %s alone", witness.name)
	}
}

type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func newCosigner(vkey string) (*cosigner, error) {
	name, rest, _ := strings.Cut(vkey, "+")
	id, encoded, _ := strings.Cut(rest, "+")
	content, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(content) != 1+ed25519.PublicKeySize || content[0] != 4 {
		return nil, fmt.Errorf("%q is no key of a witness", vkey)
	}
	sum := sha256.Sum256(append([]byte(name+"\n"), content...))
	if hex.EncodeToString(sum[:4]) != id {
		return nil, fmt.Errorf("the id of %q is not that of its bytes", vkey)
	}
	return &cosigner{name, binary.BigEndian.Uint32(sum[:4]), content[1:]}, nil
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.hash }

func (c *cosigner) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	seconds := binary.BigEndian.Uint64(signature)
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", seconds, text)
	return ed25519.Verify(c.key, []byte(message), signature[8:])
}

func checkpoint(text string) (int64, tlog.Hash) {
	var origin, root string
	var size int64
	if _, err := fmt.Sscanf(text, "%s\n%d\n%s\n", &origin, &size, &root); err != nil {
		fail("a text is no checkpoint: %v", err)
	}
	return size, hash(root)
}

func rootOf(entries []string) tlog.Hash {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			out[i] = stored[index]
		}
		return out, nil
	})
	for number, entry := range entries {
		more, err := tlog.StoredHashes(int64(number), []byte(entry), reader)
		check(err)
		stored = append(stored, more...)
	}
	root, err := tlog.TreeHash(int64(len(entries)), reader)
	check(err)
	return root
}

func hashes(encoded []string) []tlog.Hash {
	out := make([]tlog.Hash, len(encoded))
	for i, text := range encoded {
		out[i] = hash(text)
	}
	return out
}

func hash(text string) (out tlog.Hash) {
	content, err := base64.StdEncoding.DecodeString(text)
	check(err)
	copy(out[:], content)
	return out
}

func check(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}
