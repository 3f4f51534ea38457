// Package sandbox runs stand-ins for what Fast Feature Fetch talks to: DynamoDB, RDS and a
// feature service. They serve the demo, tests and benchmarks. All that they answer
// follows from the run file and the settings, so [Truth] can say what a dataset must
// hold.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox/dynamodb"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/services/sandbox/rds"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// FeaturesPath is where the feature service takes requests; it takes them anywhere, and
// this is the path that the endpoints name.
const FeaturesPath = "/features"

// Endpoints says where the stand-ins listen.
type Endpoints struct {
	DynamoDB       string // base URL, for AWS_ENDPOINT_URL_DYNAMODB
	RDS            string // the same URL, for AWS_ENDPOINT_URL_RDS
	FeatureService string // URL, for feature_service.url
}

// Faults makes things go wrong. The functions are called from many goroutines; nil ones
// do nothing.
type Faults struct {
	BatchGet func(dynamodb.Call) dynamodb.Fault
	Features func(*featureservice.Request) featureservice.Fault
}

// Sandbox is the set of stand-ins.
type Sandbox struct {
	// DynamoDB, RDS and FeatureService are the stand-ins, for their counters.
	DynamoDB       *dynamodb.Server
	RDS            *rds.Server
	FeatureService *featureservice.Server

	cfg     Config
	faults  atomic.Pointer[Faults]
	lanes   sync.Map // runfile.Lane by family id
	servers []*http.Server
	failed  chan error
}

// New prepares the stand-ins for a run, whose file is expanded; nil prepares them for
// none, and AddRun may follow.
func New(cfg Config, f *runfile.File) (*Sandbox, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	s := &Sandbox{cfg: cfg, failed: make(chan error, 2)}
	s.faults.Store(&Faults{})
	s.DynamoDB = dynamodb.New(dynamodb.Config{
		UpdateTime:     cfg.TableUpdateTime,
		Latency:        cfg.DynamoDBLatency,
		BeforeBatchGet: s.beforeBatchGet,
	})
	s.RDS = rds.New(rds.Config{StartTime: cfg.DatabaseUpdateTime / 4, UpdateTime: cfg.DatabaseUpdateTime})
	s.FeatureService = featureservice.New(featureservice.Config{
		Threads: cfg.Threads, Knee: cfg.Knee, Queue: cfg.Queue, Overflow: featureservice.Overflow(cfg.Overflow), RetryAfter: cfg.RetryAfter,
		Latency: s.latency, FeaturesPerFamily: cfg.FeaturesPerFamily, Before: s.beforeFeatures,
	})
	if f == nil {
		return s, nil
	}
	return s, s.AddRun(f)
}

// What the databases are that a run's warm-up names: smaller than any that it may ask for.
const (
	databaseClass = "db.t3.micro"
	databaseGiB   = 100
	databaseACU   = 0.5
	maxACU        = 256
)

// AddRun makes the tables of a run and the databases that its warm-up names, and serves its
// families with the features that it declares. Where two runs share a table or a family, the
// one added last decides.
func (s *Sandbox) AddRun(f *runfile.File) error {
	if err := s.DynamoDB.CreateTables(f, s.cfg.ReadUnits, s.cfg.synth()); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	if f.WarmUp != nil {
		for _, db := range f.WarmUp.RDS {
			if db.Cluster != "" {
				s.RDS.AddCluster(db.Cluster, databaseACU, maxACU)
			} else {
				s.RDS.AddInstance(db.Instance, databaseClass, databaseGiB)
			}
		}
	}
	s.FeatureService.Declare(f.Families)
	for _, family := range f.Families {
		s.lanes.Store(family.ID, family.Lane)
	}
	return nil
}

// SetFaults makes things go wrong from now on, in place of what went wrong before.
func (s *Sandbox) SetFaults(f Faults) { s.faults.Store(&f) }

func (s *Sandbox) beforeBatchGet(c dynamodb.Call) dynamodb.Fault {
	if do := s.faults.Load().BatchGet; do != nil {
		return do(c)
	}
	return dynamodb.Fault{}
}

func (s *Sandbox) beforeFeatures(r *featureservice.Request) featureservice.Fault {
	if do := s.faults.Load().Features; do != nil {
		return do(r)
	}
	return featureservice.Fault{}
}

func (s *Sandbox) latency(family string) featureservice.Range {
	lane, ok := s.lanes.Load(family)
	if !ok {
		lane = runfile.LaneFast
	}
	return s.cfg.latency(lane.(runfile.Lane))
}

// Start listens and serves until Stop, or until ctx ends.
func (s *Sandbox) Start(ctx context.Context) (Endpoints, error) {
	db, err := s.serve(ctx, s.cfg.DynamoDBAddr, http.HandlerFunc(s.account))
	if err != nil {
		return Endpoints{}, fmt.Errorf("sandbox: DynamoDB: %w", err)
	}
	features, err := s.serve(ctx, s.cfg.FeatureServiceAddr, s.FeatureService)
	if err != nil {
		s.close()
		return Endpoints{}, fmt.Errorf("sandbox: feature service: %w", err)
	}
	return Endpoints{DynamoDB: "http://" + db, RDS: "http://" + db, FeatureService: "http://" + features + FeaturesPath}, nil
}

// account answers what is asked of an account of AWS: only DynamoDB names its operations in
// a header.
func (s *Sandbox) account(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && r.Header.Get("X-Amz-Target") == "" {
		s.RDS.ServeHTTP(w, r)
		return
	}
	s.DynamoDB.ServeHTTP(w, r)
}

// serve serves a stand-in and gives its address.
func (s *Sandbox) serve(ctx context.Context, addr string, h http.Handler) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	server := &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
	}
	s.servers = append(s.servers, server)
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
	return listener.Addr().String(), nil
}

// Stop takes no more requests and waits for those in hand, until ctx ends; what is
// still in hand then is broken off.
func (s *Sandbox) Stop(ctx context.Context) error {
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.Shutdown(ctx))
	}
	s.close()
	return errors.Join(errs...)
}

func (s *Sandbox) close() {
	for _, server := range s.servers {
		_ = server.Close()
	}
}

// stopGrace is how long Run waits for requests in hand.
const stopGrace = 5 * time.Second

// Run serves until ctx ends. It calls started once all stand-ins listen.
func (s *Sandbox) Run(ctx context.Context, started func(Endpoints)) error {
	at, err := s.Start(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	started(at)
	select {
	case err = <-s.failed:
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	return errors.Join(err, s.Stop(grace))
}
