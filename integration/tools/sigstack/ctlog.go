package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"net/http"
	"time"

	"github.com/google/certificate-transparency-go/trillian/ctfe"
	"github.com/google/certificate-transparency-go/trillian/ctfe/configpb"
	"github.com/google/trillian/crypto/keys"
	"github.com/google/trillian/crypto/keys/der"
	"github.com/google/trillian/crypto/keyspb"
	"github.com/google/trillian/monitoring"
	"google.golang.org/protobuf/types/known/anypb"
)

// The path of the log below its address.
const ctPrefix = "ct"

type ctLog struct {
	publicKey crypto.PublicKey
	handler   http.Handler
}

// newCTLog is a certificate transparency log that takes certificates of the authorities in the file roots.
func newCTLog(ctx context.Context, trees *trees, roots string) (*ctLog, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	wrapped, err := anypb.New(&keyspb.PrivateKey{Der: private})
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	keys.RegisterHandler(&keyspb.PrivateKey{}, der.FromProto)

	tree, err := trees.create(ctx, "certificates")
	if err != nil {
		return nil, err
	}
	validated, err := ctfe.ValidateLogConfig(&configpb.LogConfig{
		LogId:        tree,
		Prefix:       ctPrefix,
		RootsPemFile: []string{roots},
		PrivateKey:   wrapped,
		PublicKey:    &keyspb.PublicKey{Der: public},
		ExtKeyUsages: []string{"CodeSigning"},
		// In seconds. The log has no merge that could be late, but without a delay its configuration is refused.
		MaxMergeDelaySec:      86400,
		ExpectedMergeDelaySec: 120,
	})
	if err != nil {
		return nil, err
	}
	instance, err := ctfe.SetUpInstance(ctx, ctfe.InstanceOptions{
		Validated:     validated,
		Client:        trees.log,
		Deadline:      10 * time.Second,
		MetricFactory: monitoring.InertMetricFactory{},
		RequestLog:    new(ctfe.DefaultRequestLog),
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for path, handler := range instance.Handlers {
		mux.Handle(path, handler)
	}
	return &ctLog{publicKey: key.Public(), handler: mux}, nil
}
