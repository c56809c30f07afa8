package main

import (
	"context"
	"log"
	"net"
	"time"

	"github.com/google/trillian"
	"github.com/google/trillian/client"
	"github.com/google/trillian/extension"
	sequencing "github.com/google/trillian/log"
	"github.com/google/trillian/monitoring"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/server"
	"github.com/google/trillian/server/admin"
	"github.com/google/trillian/server/interceptor"
	"github.com/google/trillian/storage/memory"
	"github.com/google/trillian/util/clock"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"
)

// How long an entry waits at most before it is in the tree.
const sequencingInterval = 100 * time.Millisecond

// trees is a Trillian whose trees are lost when the process ends.
type trees struct {
	address string
	log     trillian.TrillianLogClient
	admin   trillian.TrillianAdminClient
}

func startTrillian(ctx context.Context) (*trees, error) {
	storage := memory.NewTreeStorage()
	registry := extension.Registry{
		AdminStorage:  memory.NewAdminStorage(storage),
		LogStorage:    memory.NewLogStorage(storage, monitoring.InertMetricFactory{}),
		QuotaManager:  quota.Noop(),
		MetricFactory: monitoring.InertMetricFactory{},
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	// The interceptor turns Trillian's errors into those of gRPC, which its clients distinguish.
	logServer := grpc.NewServer(grpc.UnaryInterceptor(interceptor.ErrorWrapper))
	trillian.RegisterTrillianAdminServer(logServer, admin.New(registry, nil))
	trillian.RegisterTrillianLogServer(logServer, server.NewTrillianLogRPCServer(registry, clock.System))
	go func() { log.Fatal(logServer.Serve(listener)) }()

	go sequencing.NewOperationManager(sequencing.OperationInfo{
		Registry:    registry,
		BatchSize:   50,
		NumWorkers:  1,
		RunInterval: sequencingInterval,
		TimeSource:  clock.System,
	}, sequencing.NewSequencerManager(registry, 0)).OperationLoop(ctx)

	connection, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return &trees{
		address: listener.Addr().String(),
		log:     trillian.NewTrillianLogClient(connection),
		admin:   trillian.NewTrillianAdminClient(connection),
	}, nil
}

// create makes an empty tree and returns its number.
func (t *trees) create(ctx context.Context, name string) (int64, error) {
	tree, err := client.CreateAndInitTree(ctx, &trillian.CreateTreeRequest{Tree: &trillian.Tree{
		DisplayName:     name,
		TreeState:       trillian.TreeState_ACTIVE,
		TreeType:        trillian.TreeType_LOG,
		MaxRootDuration: durationpb.New(time.Hour),
	}}, t.admin, t.log)
	if err != nil {
		return 0, err
	}
	return tree.TreeId, nil
}
