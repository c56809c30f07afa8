package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"

	ctclient "github.com/google/certificate-transparency-go/client"
	"github.com/google/certificate-transparency-go/jsonclient"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/sigstore/fulcio/pkg/certificate"
	"github.com/sigstore/fulcio/pkg/config"
	fulciov2 "github.com/sigstore/fulcio/pkg/generated/protobuf"
	fulciov1 "github.com/sigstore/fulcio/pkg/generated/protobuf/legacy"
	"github.com/sigstore/fulcio/pkg/server"
	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore/pkg/signature"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// The keys that certificates are made for.
var signerKeys = []common.PublicKeyDetails{
	common.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256,
	common.PublicKeyDetails_PKIX_ECDSA_P384_SHA_384,
	common.PublicKeyDetails_PKIX_ED25519,
	common.PublicKeyDetails_PKIX_RSA_PKCS1V15_2048_SHA256,
}

// newFulcio starts Fulcio's gRPC server and returns the HTTP gateway to it, in both versions of its interface.
func newFulcio(ctx context.Context, authority *authority, ctKey crypto.PublicKey, ctAddress string, issuer *issuer) (http.Handler, error) {
	settings, err := fulcioSettings(issuer)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(ctKey)
	if err != nil {
		return nil, err
	}
	ctLog, err := ctclient.New(ctAddress+"/"+ctPrefix, http.DefaultClient, jsonclient.Options{PublicKeyDER: der})
	if err != nil {
		return nil, err
	}
	algorithms, err := signature.NewAlgorithmRegistryConfig(signerKeys)
	if err != nil {
		return nil, err
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	withSettings := func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		return next(config.With(ctx, settings), request)
	}
	current := server.NewGRPCCAServer(ctLog, authority, algorithms, server.NewIssuerPool(settings))
	grpcServer := grpc.NewServer(grpc.UnaryInterceptor(withSettings))
	fulciov2.RegisterCAServer(grpcServer, current)
	fulciov1.RegisterCAServer(grpcServer, server.NewLegacyGRPCCAServer(current))
	go func() { log.Fatal(grpcServer.Serve(listener)) }()

	gateway := runtime.NewServeMux(runtime.WithMetadata(tokenOf), runtime.WithForwardResponseOption(headersOf))
	dial := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if err := fulciov2.RegisterCAHandlerFromEndpoint(ctx, gateway, listener.Addr().String(), dial); err != nil {
		return nil, err
	}
	return gateway, fulciov1.RegisterCAHandlerFromEndpoint(ctx, gateway, listener.Addr().String(), dial)
}

// fulcioSettings trusts every kind of identity that the issuer gives out.
func fulcioSettings(issuer *issuer) (*config.FulcioConfig, error) {
	issuers := map[string]config.OIDCIssuer{}
	for name, kind := range kinds {
		entry := config.OIDCIssuer{IssuerURL: issuer.url(name), ClientID: audience, Type: config.IssuerType(kind.fulcioType)}
		switch kind.fulcioType {
		case config.IssuerTypeURI:
			entry.SubjectDomain = issuer.url(name)
		case config.IssuerTypeCIProvider:
			entry.CIProvider = name
		}
		issuers[issuer.url(name)] = entry
	}
	// Reading it back is what checks it.
	text, err := json.Marshal(config.FulcioConfig{
		OIDCIssuers: issuers,
		CIIssuerMetadata: map[string]config.IssuerMetadata{"circleci": {
			DefaultTemplateValues:          map[string]string{"url": "https://circleci.com"},
			SubjectAlternativeNameTemplate: `{{ .url }}/api/v2/projects/{{ index . "oidc.circleci.com/project-id" }}`,
			ExtensionTemplates: certificate.Extensions{
				SourceRepositoryURI: `https://{{ index . "oidc.circleci.com/vcs-origin" }}`,
				SourceRepositoryRef: "oidc.circleci.com/vcs-ref",
			},
		}},
	})
	if err != nil {
		return nil, err
	}
	return config.Read(text)
}

// tokenOf passes the bearer token of a request of version 1 on to the server.
func tokenOf(_ context.Context, request *http.Request) metadata.MD {
	if token, found := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer "); found {
		return metadata.Pairs(server.MetadataOIDCTokenKey, token)
	}
	return nil
}

// headersOf gives an answer of version 1 the status and the header that its clients read.
func headersOf(ctx context.Context, w http.ResponseWriter, _ proto.Message) error {
	answer, found := runtime.ServerMetadataFromContext(ctx)
	if !found {
		return nil
	}
	if timestamp := answer.HeaderMD.Get(server.SCTMetadataKey); len(timestamp) > 0 {
		w.Header().Set("SCT", timestamp[0])
	}
	if status := answer.HeaderMD.Get(server.HTTPResponseCodeMetadataKey); len(status) > 0 {
		code, err := strconv.Atoi(status[0])
		if err != nil {
			return err
		}
		w.WriteHeader(code)
	}
	return nil
}
