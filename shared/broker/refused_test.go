package broker_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/settings"
)

// startGuarded starts a server that asks for a password; port 0 takes a free one.
func startGuarded(t *testing.T, port int, password string) *server.Server {
	t.Helper()
	if port == 0 {
		port = server.RANDOM_PORT
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, Username: "fff", Password: password, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server takes no connections")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

// A process whose credentials are refused must not go on as if it had a broker.
func TestRefusedWhenTheServerIsBack(t *testing.T) {
	t.Parallel()
	s := startGuarded(t, 0, "old")
	port := s.Addr().(*net.TCPAddr).Port
	refused := make(chan error, 1)
	nc, err := broker.Connect(t.Context(), settings.NATS{URL: "nats://fff:old@" + s.Addr().String()}, "test", zerolog.Nop(),
		broker.OnRefused(func(err error) { refused <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	s.Shutdown()
	s.WaitForShutdown()
	startGuarded(t, port, "new")
	if err := <-refused; !strings.Contains(err.Error(), "FFF_NATS_CREDS") {
		t.Errorf("%v: want an error that names the setting", err)
	}
}
