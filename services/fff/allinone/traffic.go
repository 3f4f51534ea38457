package allinone

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fastfeaturefetch/fff/shared/broker"
)

// Metrics of the embedded broker. A nats-server has an exporter for its own.
var (
	inMessages     = prometheus.NewDesc("fff_broker_in_messages_total", "Messages that came into the embedded broker, acks and pulls included.", nil, nil)
	inBytes        = prometheus.NewDesc("fff_broker_in_bytes_total", "Bytes of the messages that came into the embedded broker.", nil, nil)
	storedMessages = prometheus.NewDesc("fff_broker_stored_messages_total", "Messages that a stream of the embedded broker has taken since it was made.", []string{"stream"}, nil)
)

// traffic collects them: the broker is asked when somebody scrapes, and at no other time.
type traffic struct{ of *broker.Embedded }

// Describe implements prometheus.Collector.
func (traffic) Describe(to chan<- *prometheus.Desc) {
	to <- inMessages
	to <- inBytes
	to <- storedMessages
}

// Collect implements prometheus.Collector.
func (c traffic) Collect(to chan<- prometheus.Metric) {
	t, err := c.of.Traffic()
	if err != nil {
		to <- prometheus.NewInvalidMetric(inMessages, err)
		return
	}
	to <- prometheus.MustNewConstMetric(inMessages, prometheus.CounterValue, float64(t.InMsgs))
	to <- prometheus.MustNewConstMetric(inBytes, prometheus.CounterValue, float64(t.InBytes))
	for stream, n := range t.Stored {
		to <- prometheus.MustNewConstMetric(storedMessages, prometheus.CounterValue, float64(n), stream)
	}
}

// logTraffic says what has come into the broker: a process that ends with its run is gone
// before anybody scrapes its last.
func (s *System) logTraffic() {
	line := s.log.Debug()
	if !line.Enabled() {
		return
	}
	if t, err := s.server.Traffic(); err != nil {
		line = line.Err(err)
	} else {
		line = line.Interface("traffic", t)
	}
	line.Msg("the embedded broker stops")
}
