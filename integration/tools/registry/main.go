// Command registry is a container registry with the referrers API, for the tests and the benchmark.
//
// With --log it writes one JSON line for each request: method, path, status, bytes in and bytes out of the bodies.
package main

import (
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
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

func main() {
	addr := flag.String("addr", "127.0.0.1:5599", "address to listen on")
	dir := flag.String("dir", "", "folder of the blobs (manifests live in memory)")
	requests := flag.String("log", "", "file that one JSON line for each request is appended to")
	flag.Parse()
	if *dir == "" {
		log.Fatal("--dir is missing")
	}

	handler := registry.New(
		registry.WithReferrersSupport(true),
		registry.WithBlobHandler(registry.NewDiskBlobHandler(*dir)),
		registry.Logger(log.New(io.Discard, "", 0)),
	)
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
