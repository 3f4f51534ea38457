package brokertest_test

import (
	"testing"

	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/streams"
)

func TestRestartKeepsWhatIsStored(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	url := b.URL
	b.Publish("fff.dynamo.demo", []byte("first"), "Name", "value")
	b.Restart()
	if b.URL != url {
		t.Errorf("the broker came back at %s, it was at %s", b.URL, url)
	}
	all := b.Stored(streams.Dynamo, "fff.dynamo.demo")
	if len(all) != 1 || string(all[0].Data) != "first" || all[0].Header.Get("Name") != "value" {
		t.Errorf("stored after the restart: %v", all)
	}
}

func TestPutBackForgetsWhatCameLater(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	b.Publish("fff.dynamo.demo", []byte("first"))
	putBack := b.Snapshot()
	b.Publish("fff.dynamo.demo", []byte("second"))
	if n := b.Count(streams.Dynamo, "fff.dynamo.demo"); n != 2 {
		t.Fatalf("%d messages before the store was put back, want 2", n)
	}
	putBack()
	if n := b.Count(streams.Dynamo, "fff.dynamo.demo"); n != 1 {
		t.Errorf("%d messages after the store was put back, want 1", n)
	}
}
