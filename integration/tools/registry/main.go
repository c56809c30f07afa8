// Command registry is a container registry with the referrers API, for the tests and the benchmark.
//
// With --log it writes one JSON line for each request: method, path, status, bytes in and bytes out of the bodies.
// With --user and --password-file it answers only those who name them. With --oci-subject it says in the answer to a
// pushed manifest which subject it took note of, as the specification wants and many registries do not.
package main

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
)

type entry struct {
	Method   string `json:"method"`
	Path     string `json:"path"`
	Status   int    `json:"status"`
	BytesIn  int64  `json:"bytes_in"`
	BytesOut int64  `json:"bytes_out"`
}

type countingBody struct {
	io.ReadCloser
	n int64
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	return n, err
}

type countingWriter struct {
	http.ResponseWriter
	status int
	n      int64
}

func (w *countingWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *countingWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.n += int64(n)
	return n, err
}

// logged passes requests on to next and writes an entry for each to out once it has been answered.
func logged(next http.Handler, out io.Writer) http.Handler {
	var lock sync.Mutex
	encoder := json.NewEncoder(out)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := &countingBody{ReadCloser: r.Body}
		r.Body = body
		answer := &countingWriter{ResponseWriter: w}
		next.ServeHTTP(answer, r)
		lock.Lock()
		defer lock.Unlock()
		if err := encoder.Encode(entry{r.Method, r.URL.RequestURI(), answer.status, body.n, answer.n}); err != nil {
			log.Printf("could not write the request log: %v", err)
		}
	})
}

// guarded passes on only the requests of the user with the password.
func guarded(next http.Handler, user, password string) http.Handler {
	same := func(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gotUser, gotPassword, _ := r.BasicAuth()
		if !same(gotUser, user) || !same(gotPassword, password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="reseal"`)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			// A client that went away is no concern of the server.
			_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// The largest manifest that is looked into for its subject, in bytes.
const maxManifest = 4 << 20

// withSubjects adds the header OCI-Subject to answers to pushed manifests that have a subject.
func withSubjects(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxManifest))
			if err != nil {
				http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			var manifest struct {
				Subject struct {
					Digest string `json:"digest"`
				} `json:"subject"`
			}
			// What is no manifest is for the registry to refuse.
			if json.Unmarshal(body, &manifest) == nil && manifest.Subject.Digest != "" {
				w.Header().Set("OCI-Subject", manifest.Subject.Digest)
			}
		}
		next.ServeHTTP(w, r)
	})
}

func main() {
	addr := flag.String("addr", "127.0.0.1:5599", "address to listen on")
	dir := flag.String("dir", "", "folder of the blobs (manifests live in memory)")
	requests := flag.String("log", "", "file that one JSON line for each request is appended to")
	user := flag.String("user", "", "the only user who is let in")
	passwordFile := flag.String("password-file", "", "file of the user's password")
	subjects := flag.Bool("oci-subject", false, "answer with the header OCI-Subject")
	flag.Parse()
	if *dir == "" {
		log.Fatal("--dir is missing")
	}

	handler := registry.New(
		registry.WithReferrersSupport(true),
		registry.WithBlobHandler(registry.NewDiskBlobHandler(*dir)),
		registry.Logger(log.New(io.Discard, "", 0)),
	)
	if *subjects {
		handler = withSubjects(handler)
	}
	if *user != "" {
		password, err := os.ReadFile(*passwordFile)
		if err != nil {
			log.Fatal(err)
		}
		handler = guarded(handler, *user, strings.TrimSpace(string(password)))
	}
	if *requests != "" {
		// Appending keeps the file usable when the reader truncates it between two runs.
		out, err := os.OpenFile(*requests, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			log.Fatal(err)
		}
		handler = logged(handler, out)
	}
	log.Fatal(http.ListenAndServe(*addr, handler))
}
