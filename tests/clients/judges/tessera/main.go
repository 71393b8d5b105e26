// Tessera writes a certificate log into a folder with Tessera's own storage, for our judge to read.
//
//	tessera DIR SIZE
//
// DIR then holds the log (checkpoint, tile/…, issuer/…) and its public key (log.der).
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"filippo.io/sunlight"
	"filippo.io/torchwood"
	ct "github.com/google/certificate-transparency-go"
	cttls "github.com/google/certificate-transparency-go/tls"
	ctx509 "github.com/google/certificate-transparency-go/x509"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/ctonly"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

const origin = "tessera.example/2026"

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if len(os.Args) != 3 {
		return fmt.Errorf("usage: %s DIR SIZE", os.Args[0])
	}
	dir := os.Args[1]
	size, err := strconv.Atoi(os.Args[2])
	if err != nil {
		return err
	}
	signer, err := newSigner()
	if err != nil {
		return err
	}
	authority, err := newAuthority()
	if err != nil {
		return err
	}
	if err := write(ctx, dir, size, signer, authority); err != nil {
		return err
	}
	issuer := filepath.Join(dir, "issuer", hex.EncodeToString(authority.fingerprint[:]))
	if err := os.MkdirAll(filepath.Dir(issuer), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(issuer, authority.certificate.Raw, 0o644); err != nil {
		return err
	}
	key, err := x509.MarshalPKIXPublicKey(signer.key.Public())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "log.der"), key, 0o644)
}

// write logs precertificates, and returns when the checkpoint covers all of them.
func write(ctx context.Context, dir string, size int, signer *signer, authority *authority) error {
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		return err
	}
	// A signature that our judge knows nothing about.
	skey, _, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return err
	}
	stranger, err := note.NewSigner(skey)
	if err != nil {
		return err
	}
	options := tessera.NewAppendOptions().
		WithCTLayout().
		WithCheckpointSigner(signer, stranger).
		WithBatching(100, 50*time.Millisecond).
		WithCheckpointInterval(100 * time.Millisecond)
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		return err
	}
	add := tessera.NewCertificateTransparencyAppender(appender)
	awaiter := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 50*time.Millisecond)
	var last tessera.IndexFuture
	for serial := range size {
		entry, err := authority.entry(int64(serial) + 1)
		if err != nil {
			return err
		}
		last = add(ctx, entry)
	}
	if _, _, err := awaiter.Await(ctx, last); err != nil {
		return err
	}
	return shutdown(ctx)
}

// authority issues what is logged.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	fingerprint [32]byte
	keyHash     [32]byte
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "root"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	keyHash := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return &authority{key, certificate, sha256.Sum256(der), keyHash}, nil
}

func (a *authority) entry(serial int64) (*ctonly.Entry, error) {
	poison := pkix.Extension{
		Id:       asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3},
		Critical: true,
		Value:    asn1.NullBytes,
	}
	template := &x509.Certificate{
		SerialNumber:    big.NewInt(serial),
		NotBefore:       time.Now(),
		NotAfter:        time.Now().Add(10 * time.Minute),
		DNSNames:        []string{"a.example"},
		ExtraExtensions: []pkix.Extension{poison},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, a.key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	tbs, err := ctx509.RemoveCTPoison(certificate.RawTBSCertificate)
	if err != nil {
		return nil, err
	}
	return &ctonly.Entry{
		Timestamp:         uint64(time.Now().UnixMilli()),
		IsPrecert:         true,
		Certificate:       tbs,
		Precertificate:    der,
		IssuerKeyHash:     a.keyHash[:],
		FingerprintsChain: [][32]byte{a.fingerprint},
	}, nil
}

// signer signs checkpoints as RFC 6962 signs tree heads: ct-go makes the signature, Sunlight the note's.
type signer struct {
	key  *ecdsa.PrivateKey
	hash uint32
}

func newSigner() (*signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	verifier, err := sunlight.NewRFC6962Verifier(origin, key.Public())
	if err != nil {
		return nil, err
	}
	return &signer{key, verifier.KeyHash()}, nil
}

func (s *signer) Name() string    { return origin }
func (s *signer) KeyHash() uint32 { return s.hash }

func (s *signer) Sign(message []byte) ([]byte, error) {
	checkpoint, err := torchwood.ParseCheckpoint(string(message))
	if err != nil {
		return nil, err
	}
	head := ct.SignedTreeHead{
		Version:        ct.V1,
		TreeSize:       uint64(checkpoint.N),
		Timestamp:      uint64(time.Now().UnixMilli()),
		SHA256RootHash: ct.SHA256Hash(checkpoint.Hash),
	}
	input, err := ct.SerializeSTHSignatureInput(head)
	if err != nil {
		return nil, err
	}
	signed, err := cttls.CreateSignature(*s.key, cttls.SHA256, input)
	if err != nil {
		return nil, err
	}
	octets, err := cttls.Marshal(signed)
	if err != nil {
		return nil, err
	}
	injected, err := sunlight.NewRFC6962InjectedSigner(
		origin, s.key.Public(), octets, int64(head.Timestamp))
	if err != nil {
		return nil, err
	}
	return injected.Sign(message)
}
