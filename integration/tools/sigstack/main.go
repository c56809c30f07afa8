// Command sigstack is a whole private Sigstore in one process, for the tests: the real servers of Fulcio (a certificate
// authority), of a certificate transparency log and of Rekor (a transparency log, its first version), over a Trillian
// that keeps its trees in memory, with an issuer of identity tokens that gives anybody any identity.
//
// It listens on the given addresses only, which should be on the loopback. Every start makes new keys; their public
// halves are written to the folder --out, and last a file `ready`.
package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/klog/v2"
)

func main() {
	issuer := flag.String("oidc", "127.0.0.1:6100", "address of the issuer of tokens")
	fulcio := flag.String("fulcio", "127.0.0.1:6101", "address of Fulcio (HTTP)")
	ct := flag.String("ct", "127.0.0.1:6102", "address of the certificate transparency log")
	rekor := flag.String("rekor", "127.0.0.1:6103", "address of Rekor (version 1)")
	out := flag.String("out", "", "folder that public keys and certificates are written to")
	flag.Parse()

	// Rekor catches the signal for an orderly end, which it then waits for in vain.
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, os.Interrupt)
	go func() {
		<-ended
		os.Exit(0)
	}()
	// Trillian warns of every empty batch, twenty times a second. Errors still go to standard error.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)

	if *out == "" {
		log.Fatal("--out is missing")
	}
	if err := run(context.Background(), *issuer, *fulcio, *ct, *rekor, *out); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, issuerAddress, fulcioAddress, ctAddress, rekorAddress, out string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	ready := filepath.Join(out, "ready")
	if err := os.Remove(ready); err != nil && !os.IsNotExist(err) {
		return err
	}

	issuer, err := newIssuer("http://" + issuerAddress)
	if err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	if err := serve(issuerAddress, issuer); err != nil {
		return err
	}

	trees, err := startTrillian(ctx)
	if err != nil {
		return fmt.Errorf("trillian: %w", err)
	}
	authority, err := newAuthority()
	if err != nil {
		return fmt.Errorf("certificate authority: %w", err)
	}
	chain := filepath.Join(out, "fulcio.pem")
	if err := os.WriteFile(chain, pemChain(authority.certificates), 0o644); err != nil {
		return err
	}

	ctLog, err := newCTLog(ctx, trees, chain)
	if err != nil {
		return fmt.Errorf("certificate transparency log: %w", err)
	}
	if err := writePublicKey(filepath.Join(out, "ctfe.pub"), ctLog.publicKey); err != nil {
		return err
	}
	if err := serve(ctAddress, ctLog.handler); err != nil {
		return err
	}

	handler, err := newFulcio(ctx, authority, ctLog.publicKey, "http://"+ctAddress, issuer)
	if err != nil {
		return fmt.Errorf("fulcio: %w", err)
	}
	if err := serve(fulcioAddress, handler); err != nil {
		return err
	}

	if err := startRekor(ctx, trees, rekorAddress); err != nil {
		return fmt.Errorf("rekor: %w", err)
	}
	if err := download("http://"+rekorAddress+"/api/v1/log/publicKey", filepath.Join(out, "rekor.pub")); err != nil {
		return fmt.Errorf("rekor: %w", err)
	}
	if err := os.WriteFile(ready, nil, 0o644); err != nil {
		return err
	}
	log.Printf("ready: issuer %s, fulcio %s, ct %s, rekor %s", issuerAddress, fulcioAddress, ctAddress, rekorAddress)
	select {}
}

// serve listens on the address before it returns; a server that ends takes the process with it.
func serve(address string, handler http.Handler) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 30 * time.Second}
	go func() { log.Fatal(server.Serve(listener)) }()
	return nil
}

// download waits up to ten seconds for the server to answer and keeps what it says in the file.
func download(url, path string) error {
	var last error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var body []byte
		if body, last = get(url); last == nil {
			return os.WriteFile(path, body, 0o644)
		}
	}
	return last
}

func get(url string) ([]byte, error) {
	answer, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", url, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

func pemChain(certificates []*x509.Certificate) []byte {
	var text []byte
	for _, certificate := range certificates {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})...)
	}
	return text
}

func writePublicKey(path string, key crypto.PublicKey) error {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644)
}
