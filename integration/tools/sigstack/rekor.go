package main

import (
	"context"
	"log"
	"net"
	"strconv"

	"github.com/go-openapi/loads"
	"github.com/sigstore/rekor/pkg/api"
	"github.com/sigstore/rekor/pkg/generated/restapi"
	"github.com/sigstore/rekor/pkg/generated/restapi/operations"
	"github.com/sigstore/rekor/pkg/types"

	// Each registers a kind of entry.
	_ "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/hashedrekord/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/intoto/v0.0.2"
	"github.com/spf13/viper"
)

// startRekor serves version 1 of Rekor. Its settings are global, as its own program sets them from flags.
func startRekor(ctx context.Context, trees *trees, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	trillianHost, trillianPort, err := net.SplitHostPort(trees.address)
	if err != nil {
		return err
	}
	tree, err := trees.create(ctx, "rekor")
	if err != nil {
		return err
	}

	for name, value := range map[string]any{
		"trillian_log_server.address": trillianHost,
		"trillian_log_server.port":    trillianPort,
		"rekor_server.signer":         "memory",
		"rekor_server.hostname":       "rekor.local",
		// The search index wants a database.
		"enable_retrieve_api": false,
		"enabled_api_endpoints": []string{
			"searchLogQuery", "getLogInfo", "getPublicKey", "getLogProof", "createLogEntry", "getLogEntryByIndex", "getLogEntryByUUID",
		},
		"max_request_body_size": 32 << 20,
	} {
		viper.Set(name, value)
	}
	types.SetAllowedKindsForSubmission([]string{"hashedrekord", "dsse", "intoto"})

	document, err := loads.Embedded(restapi.SwaggerJSON, restapi.FlatSwaggerJSON)
	if err != nil {
		return err
	}
	server := restapi.NewServer(operations.NewRekorServerAPI(document))
	server.Host, server.Port, server.EnabledListeners = host, number, []string{"http"}
	api.ConfigureAPI(tree)
	server.ConfigureAPI()
	go func() { log.Fatal(server.Serve()) }()
	return nil
}
