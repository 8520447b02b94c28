// Verifies what a vault says of its log with Go's own packages for transparency logs, which know
// nothing of a vault: golang.org/x/mod/sumdb/note and golang.org/x/mod/sumdb/tlog.
//
//	log DIR
//
// DIR holds: key (the log's key), older and newer (signed checkpoints), consistency (as
// stele-inspect prints it), witness (a witness's key), cosigned (a checkpoint that it cosigned), and any
// number of files *.receipt. note does not know cosignatures; it opens a note with any verifier that it is
// given, and cosigner below is c2sp.org/tlog-cosignature in twenty lines. It prints what it verified, and ends
// with status 1 at the first thing that does not verify.
package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func fail(format string, values ...interface{}) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}

func read(dir, name string) string {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		fail("%v", err)
	}
	return string(text)
}

func hash(text string) tlog.Hash {
	bytes, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(bytes) != tlog.HashSize {
		fail("not a hash: %q", text)
	}
	var hash tlog.Hash
	copy(hash[:], bytes)
	return hash
}

func hashes(lines []string) []tlog.Hash {
	var all []tlog.Hash
	for _, line := range lines {
		all = append(all, hash(line))
	}
	return all
}

// cosigner verifies cosignature/v1.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }

func (c cosigner) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	time := binary.BigEndian.Uint64(signature)
	signed := fmt.Sprintf("cosignature/v1\ntime %d\n%s", time, text)
	return ed25519.Verify(c.key, []byte(signed), signature[8:])
}

func newCosigner(key string) cosigner {
	parts := strings.SplitN(key, "+", 3)
	if len(parts) != 3 {
		fail("witness: not a key: %q", key)
	}
	bytes, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(bytes) != 1+ed25519.PublicKeySize || bytes[0] != 4 {
		fail("witness: not a key for cosignatures: %q", key)
	}
	digest := sha256.Sum256(append([]byte(parts[0]+"\n"), bytes...))
	hash := binary.BigEndian.Uint32(digest[:])
	if fmt.Sprintf("%08x", hash) != parts[1] {
		fail("witness: another hash than %08x: %q", hash, key)
	}
	return cosigner{parts[0], hash, bytes[1:]}
}

// cosigned verifies a checkpoint by the witness's key alone, and with the log's key beside it.
func cosigned(text string, witness cosigner, log note.Verifier, origin string) {
	for _, both := range [][]note.Verifier{{witness}, {log, witness}} {
		opened, err := note.Open([]byte(text), note.VerifierList(both...))
		if err != nil {
			fail("cosigned: %v", err)
		}
		if len(opened.Sigs) != len(both) {
			fail("cosigned: %d of %d signatures verify", len(opened.Sigs), len(both))
		}
	}
	tree := checkpoint(text, note.VerifierList(witness), origin)
	fmt.Printf("%s saw the log of %d\n", witness.name, tree.N)
}

// checkpoint verifies a signed note and reads its three lines.
func checkpoint(text string, verifiers note.Verifiers, origin string) tlog.Tree {
	opened, err := note.Open([]byte(text), verifiers)
	if err != nil {
		fail("checkpoint: %v", err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[3] != "" || lines[0] != origin {
		fail("checkpoint: not three lines of %s: %q", origin, opened.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		fail("checkpoint: %v", err)
	}
	return tlog.Tree{N: size, Hash: hash(lines[2])}
}

// receipt verifies that the record header in a proof is in the tree of its checkpoint.
func receipt(text string, verifiers note.Verifiers, origin string) {
	parts := strings.SplitN(text, "\n\n", 2)
	if len(parts) != 2 {
		fail("receipt: no checkpoint")
	}
	lines := strings.Split(parts[0], "\n")
	if len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		fail("receipt: not a proof")
	}
	header, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil || len(header) != 192 {
		fail("receipt: no record header")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil {
		fail("receipt: %v", err)
	}
	tree := checkpoint(parts[1], verifiers, origin)
	proof := tlog.RecordProof(hashes(lines[3:]))
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(header)); err != nil {
		fail("receipt of record %d: %v", index, err)
	}
	fmt.Printf("record %d is in the log of %d\n", index, tree.N)
}

func main() {
	if len(os.Args) != 2 {
		fail("usage: log DIR")
	}
	dir := os.Args[1]
	key := strings.TrimSpace(read(dir, "key"))
	verifier, err := note.NewVerifier(key)
	if err != nil {
		fail("key: %v", err)
	}
	verifiers := note.VerifierList(verifier)
	origin := verifier.Name()
	older := checkpoint(read(dir, "older"), verifiers, origin)
	newer := checkpoint(read(dir, "newer"), verifiers, origin)

	lines := strings.Split(strings.TrimSpace(read(dir, "consistency")), "\n")
	if len(lines) < 2 {
		fail("consistency: too short")
	}
	proof := tlog.TreeProof(hashes(lines[2:]))
	if err := tlog.CheckTree(proof, newer.N, newer.Hash, older.N, older.Hash); err != nil {
		fail("consistency: %v", err)
	}
	fmt.Printf("the log of %d begins with the log of %d\n", newer.N, older.N)

	cosigned(read(dir, "cosigned"), newCosigner(strings.TrimSpace(read(dir, "witness"))), verifier, origin)

	receipts, err := filepath.Glob(filepath.Join(dir, "*.receipt"))
	if err != nil || len(receipts) == 0 {
		fail("no receipts")
	}
	for _, name := range receipts {
		receipt(read(dir, filepath.Base(name)), verifiers, origin)
	}
}
