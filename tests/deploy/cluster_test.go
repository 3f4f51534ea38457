package deploy

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/streams"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// startCluster starts three servers as cluster.conf says, but for where they listen.
func startCluster(t *testing.T) []*server.Server {
	t.Helper()
	var routes []*url.URL
	var ports []int
	var held []net.Listener // until all are known, so that none is given out twice
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, l)
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		routes = append(routes, &url.URL{Scheme: "nats", Host: l.Addr().String()})
	}
	for _, l := range held {
		_ = l.Close()
	}
	var all []*server.Server
	for i, port := range ports {
		t.Setenv("SERVER_NAME", fmt.Sprintf("nats-%d", i+1))
		o := natsConfig(t, "cluster.conf")
		o.Cluster.Host, o.Cluster.Port, o.Routes = "127.0.0.1", port, routes
		all = append(all, launchNATS(t, o))
	}
	for _, s := range all {
		harness.Await(t, s.Name()+" is one of three", func() bool { return s.NumRoutes() > 0 && s.JetStreamIsCurrent() })
	}
	return all
}

// TestAClusterLosesAServer takes away, in the middle of a run, the server that leads the
// writers' queue. Elections take their time, so `make test` leaves it out.
func TestAClusterLosesAServer(t *testing.T) {
	if os.Getenv("FFF_CLUSTER") == "" {
		t.Skip("no cluster is started unless FFF_CLUSTER is set; `make cluster` sets it")
	}
	all := startCluster(t)
	var urls []string
	for _, s := range all {
		urls = append(urls, s.ClientURL())
	}
	cluster := strings.Join(urls, ",")
	j := harness.NewJob(t, 1500)
	harness.NewBackends(t, j)
	startServices(t, j, 3, func(user string) *broker.Client { return connect(t, cluster, user, &violations{}) })
	submit := harness.Start(t, nil, "submit", "-f", j.RunFile(t), "--records", j.JSONL(t), "--nats", cluster, "--wait", "--progress", "plain")

	watch := connect(t, cluster, "watch", &violations{})
	harness.Await(t, "the run is in its middle", func() bool {
		status, err := control.NewClient(watch).Status(t.Context(), j.Run)
		if err != nil {
			return false
		}
		if status.Ended() {
			t.Fatal("the run has ended before a server was taken away")
		}
		for _, s := range status.Stages {
			if s.Name == "dynamo" && s.CellsOut > 0 {
				return true
			}
		}
		return false
	})
	st, err := watch.JS.Stream(t.Context(), streams.Writer)
	if err != nil {
		t.Fatal(err)
	}
	if n := st.CachedInfo().Config.Replicas; n != 3 {
		t.Fatalf("the stream has %d replicas", n)
	}
	leader := st.CachedInfo().Cluster.Leader
	for _, s := range all {
		if s.Name() == leader {
			s.Shutdown()
			s.WaitForShutdown()
			t.Logf("%s is gone", leader)
		}
	}
	submit.Wait(t).Expect(t, 0)
	j.Verify(t, 0)
}
