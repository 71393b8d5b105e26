// Judges reads a whole certificate log as two other implementations read it, and holds what they find
// against each other: Sunlight's client (static-ct-api) and ct-go's (RFC 6962).
//
//	judges -log URL -key log.der [-vkey LINE] [-seen FILE] [-flip PATH]
//
// -seen keeps the head between two visits: the next one must be consistent with it. -flip changes one
// bit of each answer whose path holds PATH, for a judge that must notice.
package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"filippo.io/sunlight"
	"filippo.io/torchwood"
	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/client"
	"github.com/google/certificate-transparency-go/jsonclient"
	"github.com/google/certificate-transparency-go/scanner"
	cttls "github.com/google/certificate-transparency-go/tls"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"mayfly.test/judges/flipping"
)

func main() {
	var j judge
	log := flag.String("log", "", "address of the log")
	key := flag.String("key", "", "file with the log's public key, DER")
	flag.StringVar(&j.vkey, "vkey", "", "verifier key of the checkpoint's second signature")
	flag.StringVar(&j.seen, "seen", "", "file that keeps the head between two visits")
	flip := flag.String("flip", "", "change one bit of answers with this in their path")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := j.run(ctx, *log, *key, *flip); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("holds: %d entries\n", j.tree.N)
}

// judge is a visit to a log.
type judge struct {
	vkey, seen string

	static  *sunlight.Client
	rfc6962 *client.LogClient
	key     crypto.PublicKey
	tree    tlog.Tree
	leaves  []leaf
}

// leaf is an entry as both views must have it.
type leaf struct {
	input     []byte
	hash      []byte
	precert   []byte
	chain     [][32]byte
	timestamp int64
}

func (j *judge) run(ctx context.Context, log, keyFile, flip string) error {
	if err := j.open(log, keyFile, flip); err != nil {
		return err
	}
	steps := []struct {
		name string
		run  func(context.Context) error
	}{
		{"checkpoint", j.checkpoint},
		{"entries in tiles", j.entries},
		{"issuers", j.issuers},
		{"signed tree head", j.head},
		{"consistency with the last visit", j.consistency},
		{"entries by ct-go's scanner", j.scan},
		{"proofs", j.proofs},
		{"roots", j.roots},
	}
	for _, step := range steps {
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return j.remember()
}

func (j *judge) open(log, keyFile, flip string) error {
	der, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	if j.key, err = x509.ParsePKIXPublicKey(der); err != nil {
		return err
	}
	hc := &http.Client{Transport: &flipping.Transport{Path: flip}}
	j.static, err = sunlight.NewClient(&sunlight.ClientConfig{
		MonitoringPrefix: log,
		PublicKey:        j.key,
		HTTPClient:       hc,
		UserAgent:        "judges (judges@mayfly.test)",
	})
	if err != nil {
		return err
	}
	j.rfc6962, err = client.New(log, hc, jsonclient.Options{PublicKeyDER: der})
	return err
}

// checkpoint verifies the log key's signature, and the other one if its key is known.
func (j *judge) checkpoint(ctx context.Context) error {
	checkpoint, signed, err := j.static.Checkpoint(ctx)
	if err != nil {
		return err
	}
	j.tree = checkpoint.Tree
	if j.vkey == "" {
		return nil
	}
	verifier, err := note.NewVerifier(j.vkey)
	if err != nil {
		return err
	}
	octets, err := j.static.TileReader().ReadEndpoint(ctx, "checkpoint")
	if err != nil {
		return err
	}
	second, err := note.Open(octets, note.VerifierList(verifier))
	if err != nil {
		return err
	}
	if second.Text != signed.Text || verifier.Name() != checkpoint.Origin {
		return errors.New("the second signature is for another checkpoint")
	}
	return nil
}

// entries reads every entry, each verified against the tree by Sunlight's client.
func (j *judge) entries(ctx context.Context) error {
	for int64(len(j.leaves)) < j.tree.N {
		before := len(j.leaves)
		for index, entry := range j.static.Entries(ctx, j.tree, int64(before)) {
			if entry.LeafIndex != index || index != int64(len(j.leaves)) {
				return fmt.Errorf("entry %d says that it is %d", index, entry.LeafIndex)
			}
			input := entry.MerkleTreeLeaf()
			hash := tlog.RecordHash(input)
			j.leaves = append(j.leaves, leaf{
				input, hash[:], entry.PreCertificate, entry.ChainFingerprints, entry.Timestamp,
			})
		}
		if err := j.static.Err(); err != nil {
			return err
		}
		if len(j.leaves) == before {
			return fmt.Errorf("entry %d is missing", before)
		}
	}
	return nil
}

// issuers fetches every certificate that entries name.
func (j *judge) issuers(ctx context.Context) error {
	known := map[[32]byte]bool{}
	for _, leaf := range j.leaves {
		for _, fingerprint := range leaf.chain {
			if known[fingerprint] {
				continue
			}
			if _, err := j.static.Issuer(ctx, fingerprint); err != nil {
				return err
			}
			known[fingerprint] = true
		}
	}
	return nil
}

// head verifies the STH and holds it against the checkpoint.
func (j *judge) head(ctx context.Context) error {
	sth, err := j.rfc6962.GetSTH(ctx)
	if err != nil {
		return err
	}
	if err := j.rfc6962.VerifySTHSignature(*sth); err != nil {
		return err
	}
	if int64(sth.TreeSize) != j.tree.N || tlog.Hash(sth.SHA256RootHash) != j.tree.Hash {
		return errors.New("the two views are of two trees")
	}
	if n := len(j.leaves); n > 0 && uint64(j.leaves[n-1].timestamp) > sth.Timestamp {
		return errors.New("an entry is later than the tree head")
	}
	return nil
}

// consistency holds the tree to the last visit, in both views, and RFC 6962's at sizes in between.
func (j *judge) consistency(ctx context.Context) error {
	if j.seen == "" {
		return nil
	}
	var old tlog.Tree
	if octets, err := os.ReadFile(j.seen); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	} else if err := json.Unmarshal(octets, &old); err != nil {
		return err
	}
	reader := torchwood.TileHashReaderWithContext(ctx, j.tree, j.static.TileReader())
	fromTiles, err := tlog.ProveTree(j.tree.N, old.N, reader)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(fromTiles, j.tree.N, j.tree.Hash, old.N, old.Hash); err != nil {
		return err
	}
	hashes, err := j.rfc6962.GetSTHConsistency(ctx, uint64(old.N), uint64(j.tree.N))
	if err != nil {
		return err
	}
	return proof.VerifyConsistency(rfc6962.DefaultHasher,
		uint64(old.N), uint64(j.tree.N), hashes, old.Hash[:], j.tree.Hash[:])
}

// scan walks the RFC 6962 view with ct-go's scanner and holds each entry against the tiles.
func (j *judge) scan(ctx context.Context) error {
	var mutex sync.Mutex
	var wrong error
	found := map[int64]bool{}
	check := func(entry *ct.RawLogEntry) {
		mutex.Lock()
		defer mutex.Unlock()
		if err := j.compare(entry); err != nil && wrong == nil {
			wrong = fmt.Errorf("entry %d: %w", entry.Index, err)
		}
		found[entry.Index] = true
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	options := scanner.DefaultScannerOptions()
	options.Matcher = &scanner.MatchAll{}
	options.BatchSize = 1000
	options.ParallelFetch = 2
	options.EndIndex = j.tree.N
	log := impatient{j.rfc6962, cancel}
	err := scanner.NewScanner(log, *options).Scan(ctx, check, check)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		return err
	}
	if wrong == nil && int64(len(found)) != j.tree.N {
		wrong = fmt.Errorf("%d of %d entries were found", len(found), j.tree.N)
	}
	return wrong
}

// impatient ends a scan at the first error; the scanner alone would ask for ever.
type impatient struct {
	*client.LogClient
	cancel context.CancelCauseFunc
}

func (i impatient) GetRawEntries(ctx context.Context, start, end int64) (*ct.GetEntriesResponse, error) {
	entries, err := i.LogClient.GetRawEntries(ctx, start, end)
	if err != nil {
		i.cancel(err)
	}
	return entries, err
}

func (j *judge) compare(entry *ct.RawLogEntry) error {
	leaf := j.leaves[entry.Index]
	input, err := cttls.Marshal(entry.Leaf)
	if err != nil {
		return err
	}
	if !bytes.Equal(input, leaf.input) {
		return errors.New("the leaf differs from that in the tile")
	}
	if !bytes.Equal(entry.Cert.Data, leaf.precert) {
		return errors.New("the precertificate differs from that in the tile")
	}
	if len(entry.Chain) != len(leaf.chain) {
		return errors.New("the chain has another length")
	}
	for i, certificate := range entry.Chain {
		if sha256.Sum256(certificate.Data) != leaf.chain[i] {
			return fmt.Errorf("certificate %d of the chain is another one", i)
		}
	}
	return nil
}

// proofs asks for both proofs of inclusion, of some entries, in the newest tree and in older ones.
func (j *judge) proofs(ctx context.Context) error {
	sizes := []int64{j.tree.N, j.tree.N/2 + 1}
	for index := range j.leaves {
		if edge := index % 256; edge > 1 && edge < 255 && index%50 != 0 && int64(index) != j.tree.N-1 {
			continue
		}
		for _, size := range sizes {
			if int64(index) < size {
				if err := j.prove(ctx, uint64(index), uint64(size)); err != nil {
					return fmt.Errorf("entry %d in %d: %w", index, size, err)
				}
			}
		}
	}
	return nil
}

func (j *judge) prove(ctx context.Context, index, size uint64) error {
	leaf := j.leaves[index]
	root := j.tree.Hash
	if int64(size) != j.tree.N {
		reader := torchwood.TileHashReaderWithContext(ctx, j.tree, j.static.TileReader())
		var err error
		if root, err = tlog.TreeHash(int64(size), reader); err != nil {
			return err
		}
	}
	byHash, err := j.rfc6962.GetProofByHash(ctx, leaf.hash, size)
	if err != nil {
		return err
	}
	if byHash.LeafIndex != int64(index) {
		return fmt.Errorf("it is said to be entry %d", byHash.LeafIndex)
	}
	hasher := rfc6962.DefaultHasher
	if err := proof.VerifyInclusion(hasher, index, size, leaf.hash, byHash.AuditPath, root[:]); err != nil {
		return err
	}
	entry, err := j.rfc6962.GetEntryAndProof(ctx, index, size)
	if err != nil {
		return err
	}
	if !bytes.Equal(entry.LeafInput, leaf.input) {
		return errors.New("get-entry-and-proof gives another entry")
	}
	return proof.VerifyInclusion(hasher, index, size, leaf.hash, entry.AuditPath, root[:])
}

// roots says that every chain ends at an accepted root.
func (j *judge) roots(ctx context.Context) error {
	roots, err := j.rfc6962.GetAcceptedRoots(ctx)
	if err != nil {
		return err
	}
	accepted := map[[32]byte]bool{}
	for _, root := range roots {
		accepted[sha256.Sum256(root.Data)] = true
	}
	for index, leaf := range j.leaves {
		if n := len(leaf.chain); n == 0 || !accepted[leaf.chain[n-1]] {
			return fmt.Errorf("the chain of entry %d ends at no accepted root", index)
		}
	}
	return nil
}

func (j *judge) remember() error {
	if j.seen == "" {
		return nil
	}
	octets, err := json.Marshal(j.tree)
	if err != nil {
		return err
	}
	return os.WriteFile(j.seen, octets, 0o600)
}
