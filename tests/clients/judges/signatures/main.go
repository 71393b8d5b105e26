// Signatures logs signatures of every kind, holds what is answered against what Rekor's own code makes of
// them, and reads the whole log as an independent client of tlog-tiles does.
//
//	signatures -url URL [-flip PATH]
//
// -flip changes one bit of each answer whose path holds PATH, for a judge that must notice.
package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"filippo.io/torchwood"
	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	v1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	pbdsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	rekorv1 "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	trustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	pb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	rekornote "github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/rekor-tiles/v2/pkg/types/dsse"
	"github.com/sigstore/rekor-tiles/v2/pkg/types/hashedrekord"
	"github.com/sigstore/rekor-tiles/v2/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/protobuf/encoding/protojson"

	"mayfly.test/judges/flipping"
)

func main() {
	url := flag.String("url", "", "address of the instance")
	flip := flag.String("flip", "", "change one bit of answers with this in their path")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	j := judge{url: *url, hc: &http.Client{Transport: &flipping.Transport{Path: *flip}}}
	entries, err := j.run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("holds: %d entries\n", entries)
}

// judge is a visit to an instance.
type judge struct {
	url      string
	hc       *http.Client
	base     string
	verifier note.Verifier
	logID    []byte
	registry *signature.AlgorithmRegistryConfig
	bodies   map[int64][]byte
}

func (j *judge) run(ctx context.Context) (int64, error) {
	if err := j.open(); err != nil {
		return 0, fmt.Errorf("trusted root: %w", err)
	}
	j.bodies = map[int64][]byte{}
	for _, key := range keys() {
		if err := j.hashedRekord(key); err != nil {
			return 0, fmt.Errorf("hashedrekord by %s: %w", key.details, err)
		}
	}
	if err := j.dsse(); err != nil {
		return 0, fmt.Errorf("dsse: %w", err)
	}
	return j.read(ctx)
}

// open reads what the instance says of its log: the last one in its trusted root.
func (j *judge) open() error {
	text, err := j.get(j.url + "/trusted_root.json")
	if err != nil {
		return err
	}
	var root trustroot.TrustedRoot
	if err := protojson.Unmarshal(text, &root); err != nil {
		return err
	}
	if len(root.Tlogs) == 0 {
		return errors.New("it names no signature log")
	}
	log := root.Tlogs[len(root.Tlogs)-1]
	key, err := x509.ParsePKIXPublicKey(log.PublicKey.RawBytes)
	if err != nil {
		return err
	}
	base, err := url.Parse(log.BaseUrl)
	if err != nil {
		return err
	}
	verifier, err := signature.LoadDefaultVerifier(key)
	if err != nil {
		return err
	}
	// What sigstore-go takes for the origin: the host's name alone.
	if j.verifier, err = rekornote.NewNoteVerifier(base.Hostname(), verifier); err != nil {
		return err
	}
	_, id, err := rekornote.KeyHash(base.Hostname(), key)
	if err != nil {
		return err
	}
	if !bytes.Equal(id, log.LogId.KeyId) {
		return fmt.Errorf("the log id is %x, Rekor makes it %x", log.LogId.KeyId, id)
	}
	j.base, j.logID = log.BaseUrl, id
	j.registry, err = signature.NewAlgorithmRegistryConfig([]v1.PublicKeyDetails{
		v1.PublicKeyDetails_PKIX_RSA_PKCS1V15_2048_SHA256,
		v1.PublicKeyDetails_PKIX_RSA_PKCS1V15_3072_SHA256,
		v1.PublicKeyDetails_PKIX_RSA_PKCS1V15_4096_SHA256,
		v1.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256,
		v1.PublicKeyDetails_PKIX_ECDSA_P384_SHA_384,
		v1.PublicKeyDetails_PKIX_ECDSA_P521_SHA_512,
		v1.PublicKeyDetails_PKIX_ED25519,
	})
	return err
}

// key is a key of one kind.
type key struct {
	signer  crypto.Signer
	hash    crypto.Hash
	details v1.PublicKeyDetails
}

func keys() []key {
	ec := func(curve elliptic.Curve) crypto.Signer {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		must(err)
		return key
	}
	rsa := func(bits int) crypto.Signer {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		must(err)
		return key
	}
	return []key{
		{ec(elliptic.P256()), crypto.SHA256, v1.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256},
		{ec(elliptic.P384()), crypto.SHA384, v1.PublicKeyDetails_PKIX_ECDSA_P384_SHA_384},
		{ec(elliptic.P521()), crypto.SHA512, v1.PublicKeyDetails_PKIX_ECDSA_P521_SHA_512},
		{rsa(2048), crypto.SHA256, v1.PublicKeyDetails_PKIX_RSA_PKCS1V15_2048_SHA256},
		{rsa(3072), crypto.SHA256, v1.PublicKeyDetails_PKIX_RSA_PKCS1V15_3072_SHA256},
		{rsa(4096), crypto.SHA256, v1.PublicKeyDetails_PKIX_RSA_PKCS1V15_4096_SHA256},
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// verifier is the public half of a key.
func verifier(signer crypto.Signer, details v1.PublicKeyDetails) *pb.Verifier {
	der, err := x509.MarshalPKIXPublicKey(signer.Public())
	must(err)
	material := &pb.Verifier_PublicKey{PublicKey: &pb.PublicKey{RawBytes: der}}
	return &pb.Verifier{Verifier: material, KeyDetails: details}
}

// hashedRekord logs a signature by a key.
func (j *judge) hashedRekord(key key) error {
	hash := key.hash.New()
	hash.Write([]byte("an artifact"))
	digest := hash.Sum(nil)
	content, err := key.signer.Sign(rand.Reader, digest, key.hash)
	if err != nil {
		return err
	}
	request := &pb.HashedRekordRequestV002{
		Digest:    digest,
		Signature: &pb.Signature{Content: content, Verifier: verifier(key.signer, key.details)},
	}
	entry, err := hashedrekord.ToLogEntry(request, j.registry)
	if err != nil {
		return err
	}
	spec := &pb.CreateEntryRequest_HashedRekordRequestV002{HashedRekordRequestV002: request}
	return j.log(&pb.CreateEntryRequest{Spec: spec}, entry)
}

// dsse logs an envelope with two signatures.
func (j *judge) dsse() error {
	kind, payload := "application/vnd.in-toto+json", []byte(`{"_type":"https://in-toto.io/Statement/v1"}`)
	signed := fmt.Sprintf("DSSEv1 %d %s %d %s", len(kind), kind, len(payload), payload)
	hash := crypto.SHA256.New()
	hash.Write([]byte(signed))
	p256 := keys()[0].signer
	one, err := p256.Sign(rand.Reader, hash.Sum(nil), crypto.SHA256)
	if err != nil {
		return err
	}
	_, pure, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	other := ed25519.Sign(pure, []byte(signed))
	request := &pb.DSSERequestV002{
		Envelope: &pbdsse.Envelope{
			Payload:     payload,
			PayloadType: kind,
			Signatures:  []*pbdsse.Signature{{Sig: one}, {Sig: other, Keyid: "other"}},
		},
		Verifiers: []*pb.Verifier{
			verifier(p256, v1.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256),
			verifier(pure, v1.PublicKeyDetails_PKIX_ED25519),
		},
	}
	entry, err := dsse.ToLogEntry(request, j.registry)
	if err != nil {
		return err
	}
	spec := &pb.CreateEntryRequest_DsseRequestV002{DsseRequestV002: request}
	return j.log(&pb.CreateEntryRequest{Spec: spec}, entry)
}

// log asks for an entry, and holds the answer against the one that Rekor makes.
func (j *judge) log(request *pb.CreateEntryRequest, entry *pb.Entry) error {
	serialized, err := protojson.Marshal(entry)
	if err != nil {
		return err
	}
	want, err := jsoncanonicalizer.Transform(serialized)
	if err != nil {
		return err
	}
	body, err := protojson.Marshal(request)
	if err != nil {
		return err
	}
	response, err := j.hc.Post(j.url+"/api/v2/log/entries", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	text, err := read(response, http.StatusCreated)
	if err != nil {
		return err
	}
	var answer rekorv1.TransparencyLogEntry
	if err := protojson.Unmarshal(text, &answer); err != nil {
		return err
	}
	if !bytes.Equal(answer.CanonicalizedBody, want) {
		return fmt.Errorf("the entry is\n%s\nRekor makes it\n%s", answer.CanonicalizedBody, want)
	}
	if !bytes.Equal(answer.LogId.KeyId, j.logID) {
		return fmt.Errorf("the log id is %x", answer.LogId.KeyId)
	}
	if answer.KindVersion.Kind != entry.Kind || answer.KindVersion.Version != entry.ApiVersion {
		return fmt.Errorf("the kind is %v", answer.KindVersion)
	}
	if err := verify.VerifyLogEntry(&answer, j.verifier); err != nil {
		return err
	}
	j.bodies[answer.LogIndex] = want
	return nil
}

// read reads the whole log, and finds every entry where it is said to be.
func (j *judge) read(ctx context.Context) (int64, error) {
	text, err := j.get(j.base + "/api/v2/checkpoint")
	if err != nil {
		return 0, err
	}
	checkpoint, err := verify.VerifyCheckpoint(string(text), j.verifier)
	if err != nil {
		return 0, fmt.Errorf("checkpoint: %w", err)
	}
	tree := tlog.Tree{N: int64(checkpoint.Size), Hash: tlog.Hash(checkpoint.Hash)}
	fetcher, err := torchwood.NewTileFetcher(j.base+"/api/v2", torchwood.WithHTTPClient(j.hc),
		torchwood.WithUserAgent("judges (judges@mayfly.test)"))
	if err != nil {
		return 0, err
	}
	client, err := torchwood.NewClient(fetcher)
	if err != nil {
		return 0, err
	}
	entries := int64(0)
	for index, entry := range client.AllEntries(ctx, tree, 0) {
		if body, ours := j.bodies[index]; ours && !bytes.Equal(body, entry) {
			return 0, fmt.Errorf("entry %d is another one:\n%s", index, entry)
		}
		var parsed pb.Entry
		if err := protojson.Unmarshal(entry, &parsed); err != nil {
			return 0, fmt.Errorf("entry %d: %w", index, err)
		}
		entries++
	}
	if err := client.Err(); err != nil {
		return 0, fmt.Errorf("tiles: %w", err)
	}
	if entries != tree.N {
		return 0, fmt.Errorf("%d entries were read, the checkpoint says %d", entries, tree.N)
	}
	for index := range j.bodies {
		if _, _, err := client.Entry(ctx, tree, index); err != nil {
			return 0, fmt.Errorf("entry %d: %w", index, err)
		}
	}
	return entries, nil
}

func (j *judge) get(url string) ([]byte, error) {
	response, err := j.hc.Get(url)
	if err != nil {
		return nil, err
	}
	return read(response, http.StatusOK)
}

func read(response *http.Response, status int) ([]byte, error) {
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != status {
		var problem struct{ Message string }
		_ = json.Unmarshal(text, &problem)
		return nil, fmt.Errorf("%s: %s", response.Status, problem.Message)
	}
	return text, nil
}
