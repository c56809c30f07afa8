// Command tsa is Sigstore's timestamp authority (RFC 3161) for the tests: the real server, with keys that last as long
// as the process. Its own program also listens on port 2112 of every interface, so only one could run on a machine.
package main

import (
	"flag"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/sigstore/timestamp-authority/v2/pkg/server"
	"github.com/spf13/viper"
)

// The policy of its timestamps: the one that Sigstore's own authorities name.
const policy = "1.3.6.1.4.1.57264.2"

func main() {
	address := flag.String("addr", "127.0.0.1:6105", "address to listen on")
	flag.Parse()
	host, port, err := net.SplitHostPort(*address)
	if err != nil {
		log.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		log.Fatal(err)
	}

	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, os.Interrupt)
	go func() {
		<-ended
		os.Exit(0)
	}()

	for name, value := range map[string]any{
		"timestamp-signer":      "memory",
		"timestamp-signer-hash": "sha256",
		"default-policy-oid":    policy,
		"accepted-policy-oids":  []string{policy},
		"max-request-body-size": 1 << 20,
	} {
		viper.Set(name, value)
	}
	log.Fatal(server.NewRestAPIServer(host, number, []string{"http"}, false, 30*time.Second, 30*time.Second).Serve())
}
