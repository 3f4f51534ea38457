package rds

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The states of databases that the stand-in knows.
const (
	available = "available"
	modifying = "modifying"
)

// change is one that was asked for: pending at first, then under way, then done.
type change struct {
	starts, ends time.Time // zero while it waits for the maintenance window
}

func (c *change) begin(now time.Time, cfg *Config) {
	c.starts = now.Add(cfg.StartTime)
	c.ends = c.starts.Add(cfg.UpdateTime)
}

// status gives the state of a database with the change, and whether that is done.
func (c *change) status(now time.Time) (status string, done bool) {
	switch {
	case c.starts.IsZero() || now.Before(c.starts):
		return available, false
	case now.Before(c.ends):
		return modifying, false
	}
	return available, true
}

// instance is a database instance.
type instance struct {
	id      string
	class   string
	storage int // GiB
	tags    map[string]string

	change
	nextClass   string // pending; "" = none
	nextStorage int    // pending; 0 = none
}

// settle makes a change take effect whose time has come, and gives the state.
func (i *instance) settle(now time.Time) string {
	status, done := i.status(now)
	if done {
		i.class, i.storage = cmp.Or(i.nextClass, i.class), cmp.Or(i.nextStorage, i.storage)
		i.nextClass, i.nextStorage, i.change = "", 0, change{}
	}
	return status
}

type instanceXML struct {
	DBInstanceIdentifier  string
	DBInstanceArn         string
	DBInstanceClass       string
	DBInstanceStatus      string
	Engine                string
	MultiAZ               bool
	AllocatedStorage      int
	PendingModifiedValues pendingXML
}

type pendingXML struct {
	DBInstanceClass  string `xml:",omitempty"`
	AllocatedStorage int    `xml:",omitempty"`
}

func (i *instance) describe(now time.Time) instanceXML {
	status := i.settle(now)
	return instanceXML{
		DBInstanceIdentifier: i.id, DBInstanceArn: arn("db", i.id), DBInstanceClass: i.class, DBInstanceStatus: status,
		Engine: "postgres", AllocatedStorage: i.storage,
		PendingModifiedValues: pendingXML{DBInstanceClass: i.nextClass, AllocatedStorage: i.nextStorage},
	}
}

func arn(kind, id string) string {
	return fmt.Sprintf("arn:aws:rds:%s:%s:%s:%s", region, account, kind, id)
}

// identifier takes an identifier or an ARN.
func identifier(s string) string { return s[strings.LastIndexByte(s, ':')+1:] }

func (s *Server) instance(id string) (*instance, error) {
	if i, ok := s.instances[identifier(id)]; ok {
		return i, nil
	}
	return nil, errorf(http.StatusNotFound, "DBInstanceNotFound", "DBInstance %s not found.", id)
}

func (s *Server) describeInstances(form url.Values) (any, error) {
	if err := check(form, "DBInstanceIdentifier"); err != nil {
		return nil, err
	}
	i, err := s.instance(form.Get("DBInstanceIdentifier"))
	if err != nil {
		return nil, err
	}
	return struct {
		DBInstances []instanceXML `xml:"DBInstances>DBInstance"`
	}{[]instanceXML{i.describe(s.cfg.Now())}}, nil
}

func (s *Server) modifyInstance(form url.Values) (any, error) {
	if err := check(form, "DBInstanceIdentifier", "DBInstanceClass", "AllocatedStorage", "ApplyImmediately"); err != nil {
		return nil, err
	}
	i, err := s.instance(form.Get("DBInstanceIdentifier"))
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	if status := i.settle(now); status != available || !i.starts.IsZero() {
		return nil, errorf(http.StatusBadRequest, "InvalidDBInstanceState", "Database instance is not in available state.")
	}
	if text := form.Get("AllocatedStorage"); text != "" {
		gib, err := strconv.Atoi(text)
		if err != nil || gib <= i.storage {
			return nil, errorf(http.StatusBadRequest, "InvalidParameterCombination", "Invalid storage size: it is %d GiB, and only ever grows", i.storage)
		}
		i.nextStorage = gib
	}
	if class := form.Get("DBInstanceClass"); class != "" && class != i.class {
		if !strings.HasPrefix(class, "db.") {
			return nil, errorf(http.StatusBadRequest, "InvalidParameterValue", "Invalid DB Instance class: %s", class)
		}
		i.nextClass = class
	}
	if form.Get("ApplyImmediately") == "true" && (i.nextClass != "" || i.nextStorage != 0) {
		i.begin(now, &s.cfg) // with all that was pending before
	}
	return struct{ DBInstance instanceXML }{i.describe(now)}, nil
}

// acu is the range of an Aurora Serverless v2 cluster, in capacity units.
type acu struct {
	MinCapacity, MaxCapacity float64
}

// cluster is an Aurora Serverless v2 cluster.
type cluster struct {
	id   string
	acu  acu
	tags map[string]string

	change
	next *acu
}

func (c *cluster) settle(now time.Time) string {
	status, done := c.status(now)
	if done {
		c.acu, c.next, c.change = *c.next, nil, change{}
	}
	return status
}

type clusterXML struct {
	DBClusterIdentifier              string
	DBClusterArn                     string
	Status                           string
	Engine                           string
	ServerlessV2ScalingConfiguration acu
}

func (c *cluster) describe(now time.Time) clusterXML {
	status := c.settle(now)
	return clusterXML{
		DBClusterIdentifier: c.id, DBClusterArn: arn("cluster", c.id), Status: status, Engine: "aurora-postgresql",
		ServerlessV2ScalingConfiguration: c.acu,
	}
}

func (s *Server) cluster(id string) (*cluster, error) {
	if c, ok := s.clusters[identifier(id)]; ok {
		return c, nil
	}
	return nil, errorf(http.StatusNotFound, "DBClusterNotFoundFault", "DBCluster %s not found.", id)
}

func (s *Server) describeClusters(form url.Values) (any, error) {
	if err := check(form, "DBClusterIdentifier"); err != nil {
		return nil, err
	}
	c, err := s.cluster(form.Get("DBClusterIdentifier"))
	if err != nil {
		return nil, err
	}
	return struct {
		DBClusters []clusterXML `xml:"DBClusters>DBCluster"`
	}{[]clusterXML{c.describe(s.cfg.Now())}}, nil
}

func (s *Server) modifyCluster(form url.Values) (any, error) {
	if err := check(form, "DBClusterIdentifier", "ServerlessV2ScalingConfiguration", "ApplyImmediately"); err != nil {
		return nil, err
	}
	c, err := s.cluster(form.Get("DBClusterIdentifier"))
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	if status := c.settle(now); status != available || c.next != nil {
		return nil, errorf(http.StatusBadRequest, "InvalidDBClusterStateFault", "DBCluster is not in available state.")
	}
	next := c.acu
	for name, dst := range map[string]*float64{"MinCapacity": &next.MinCapacity, "MaxCapacity": &next.MaxCapacity} {
		text := form.Get("ServerlessV2ScalingConfiguration." + name)
		if text == "" {
			continue
		}
		if *dst, err = strconv.ParseFloat(text, 64); err != nil || *dst*2 != float64(int(*dst*2)) || *dst < 0 || *dst > 256 {
			return nil, errorf(http.StatusBadRequest, "InvalidParameterValue", "%s %s: capacity is 0 to 256 in halves", name, text)
		}
	}
	if next.MinCapacity > next.MaxCapacity {
		return nil, errorf(http.StatusBadRequest, "InvalidParameterCombination", "MinCapacity %v is above MaxCapacity %v", next.MinCapacity, next.MaxCapacity)
	}
	c.next = &next
	c.begin(now, &s.cfg) // Aurora applies it at once, whatever ApplyImmediately says
	return struct{ DBCluster clusterXML }{c.describe(now)}, nil
}
