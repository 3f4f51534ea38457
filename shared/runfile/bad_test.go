package runfile

import (
	"strings"
	"testing"
)

// TestBadFiles changes one thing in a good file, or gives another one, and expects
// the line, the field and the remedy.
func TestBadFiles(t *testing.T) {
	long := strings.Repeat("ü", 34)
	for _, tc := range []struct {
		name     string
		from, to string // in minimal; "" = to is the whole file
		line     int
		field    string
		parts    []string
	}{
		{"empty", "", " ", 1, "", []string{"is empty; it needs run and families"}},
		{"comments only", "", "# nothing\n", 1, "", []string{"is empty"}},
		{"a list", "", "- a\n- b\n", 1, "", []string{"this is a list; write settings under it"}},
		{"two documents", "", "run: a\n---\nrun: b\n", 3, "", []string{"second YAML document"}},
		{"not UTF-8", "", "run: a\nfamilies: \xff\n", 2, "", []string{"not UTF-8 here; save it as UTF-8"}},
		{"deep nesting", "", "run: a\nx: " + strings.Repeat("[", 100), 2, "", []string{"nested too deeply"}},
		{"too many anchors", "", "run: a\nx: " + strings.Repeat("&a ", 2000), 2, "", []string{"more than 1000 of the signs"}},
		{"too many items", "", "run: a\nx: {" + strings.Repeat("a,", 70_000), 2, "", []string{"more than 60000 items; declare fewer"}},
		{"too large", "", strings.Repeat("# comment\n", 60_000), 0, "", []string{"600000 bytes; the most is 524288"}},
		{"syntax", "lane: slow", "lane: [slow", 6, "", []string{"no valid YAML"}},
		{"unquoted reference in flow", "{name: user_id, value: \"{user_id}\"}", "{name: ${NAME}, value: \"{user_id}\"}", 8, "", []string{"needs quotes"}},
		{"repeated key", "run: demo", "run: demo\nrun: demo2", 2, "", []string{"already defined"}},
		{"tag", "run: demo", "run: !!str demo", 1, "", []string{"YAML tags", "leave it out"}},
		{"merge key", "  - id: credit", "  - {id: credit, <<: {lane: slow}}", 3, "", []string{"merge keys (<<)", "write the settings out"}},
		{"no anchor", "id: credit", "id: *credit", 3, "", []string{"names no anchor"}},

		{"unknown field", "run: demo", "run: demo\nfamilys: []", 2, "familys", []string{"unknown field; did you mean families?"}},
		{"unknown nested field", "lane: slow", "colour: slow", 5, "families[1].colour", []string{"unknown field; use cached, features, id, lane or table"}},
		{"no value", "lane: slow", "lane:", 5, "families[1].lane", []string{"it has no value; give it one, or leave it out"}},
		{"run missing", "run: demo\n", "", 1, "run", []string{"it is missing, and it is required"}},
		{"run not an id", "run: demo", "run: Demo_1", 1, "run", []string{`"Demo_1" is no run id; use 1 to 63`}},
		{"run too long", "run: demo", "run: " + strings.Repeat("a", 64), 1, "run", []string{"is no run id"}},
		{"run a number", "run: demo", "run: 12", 1, "run", []string{"12 is a number; write text, in quotes"}},
		{"families not a list", "", "run: a\nfamilies: {id: credit}\n", 2, "families", []string{"write a list"}},
		{"no family", "", "run: a\nfamilies: []\nfeature_service: {url: http://h/}\n", 2, "families", []string{"the list is empty"}},
		{"family without id", "  - id: credit", "  - lane: fast", 3, "families[0].id", []string{"it is missing"}},
		{"family as text", "  - id: credit", "  - credit", 3, "families[0]", []string{`"credit" is text; write settings under it: cached`}},
		{"family empty", "id: credit", `id: ""`, 3, "families[0].id", []string{"is empty; give it a value"}},
		{"family twice", "id: sms", "id: credit", 4, "families[1].id", []string{"listed twice, first as families[0]; leave one out"}},
		{"family twice but for case", "id: sms", "id: CREDIT", 4, "families[1].id", []string{"differ only in case", "rename one"}},
		{"family too long", "id: credit", "id: " + long, 3, "families[0].id", []string{"takes 204 bytes in paths", "the most is 200: shorten it"}},
		{"lane", "lane: slow", "lane: slw", 5, "families[1].lane", []string{`"slw" is no lane; use fast, slow or auto`}},
		{"cached", "lane: slow", "cached: no", 5, "families[1].cached", []string{`"no" is no switch; write true or false`}},
		{"feature type", "lane: slow", "features: {lat: float}", 5, "families[1].features.lat", []string{`"float" is no feature type; use double, int64, bool or string`}},
		{"features as a list", "lane: slow", "features: [lat]", 5, "families[1].features", []string{"write features with their types: {lat: double"}},
		{"a family's table", "lane: slow", "table: my table", 5, "families[1].table", []string{"is no DynamoDB table name; use 3 to 255"}},

		{"dynamodb missing", "", "run: a\nfamilies: [{id: b}]\nfeature_service: {url: http://h/}\n", 1, "dynamodb", []string{"is missing", "add dynamodb, or set cached: false"}},
		{"table missing", "  table: features\n", "", 7, "dynamodb.table", []string{`family "credit" names no table of its own; add one`}},
		{"partition key missing", "  partition_key: {name: user_id, value: \"{user_id}\"}\n", "", 7, "dynamodb.partition_key", []string{"it is missing"}},
		{"key without value", `, value: "{user_id}"`, "", 8, "dynamodb.partition_key.value", []string{"it is missing"}},
		{"template not quoted", `"{user_id}"`, "{user_id}", 8, "dynamodb.partition_key.value", []string{"this is a mapping { }; write text, in quotes"}},
		{"placeholder", "{user_id}\"", "{user}\"", 8, "dynamodb.partition_key.value", []string{`"{user}" is no placeholder; use {user_id}, {family}`}},
		{"brace", "{user_id}\"", "{user_id\"", 8, "dynamodb.partition_key.value", []string{"unpaired"}},
		{"no user in the keys", "{user_id}\"", "{family}\"", 9, "dynamodb.sort_key.value", []string{"no key mentions {user_id}", "add {user_id}"}},
		{"no family in the keys", "{family}#", "", 9, "dynamodb.sort_key.value", []string{`families "credit" and "sms" of table "features" would share one item; add {family}`}},
		{"key type", "name: feature_key,", "name: feature_key, type: B,", 9, "dynamodb.sort_key.type", []string{`"B" is no key type; use S or N`}},
		{"text in a number key", "name: feature_key,", "name: feature_key, type: N,", 9, "dynamodb.sort_key.value", []string{"key is of type N", "or type S"}},
		{"two keys of one name", "name: feature_key", "name: user_id", 9, "dynamodb.sort_key.name", []string{"is the partition key's name too"}},
		{"long key name", "name: feature_key", "name: " + strings.Repeat("k", 256), 9, "dynamodb.sort_key.name", []string{"255 bytes", "shorten it"}},
		{"layout", "table: features", "table: features\n  layout: columns", 8, "dynamodb.layout", []string{"is no layout; use attributes, map:NAME or json:NAME"}},
		{"layout without name", "table: features", "table: features\n  layout: map", 8, "dynamodb.layout", []string{"names no attribute; write map:NAME"}},
		{"layout in the key", "table: features", "table: features\n  layout: json:user_id", 8, "dynamodb.layout", []string{"is the partition key already; name another one"}},
		{"ttl in the layout", "table: features", "table: features\n  layout: json:d\n  ttl: d", 9, "dynamodb.ttl", []string{"holds the features already"}},
		{"exclude the layout", "table: features", "table: features\n  layout: json:d\n  exclude: [x, d]", 9, "dynamodb.exclude[1]", []string{"leave it out of exclude"}},
		{"exclude twice", "table: features", "table: features\n  exclude: [x, x]", 8, "dynamodb.exclude[1]", []string{"named twice"}},
		{"in flight", "table: features", "table: features\n  max_in_flight: 0", 8, "dynamodb.max_in_flight", []string{"out of range; write a whole number from 1 to"}},

		{"feature service missing", "feature_service:\n  url: \"http://127.0.0.1:8090/features\"\n", "", 1, "feature_service", []string{"it is missing; add it with its url"}},
		{"url missing", "  url: \"http://127.0.0.1:8090/features\"", "  fast: {}", 11, "feature_service.url", []string{"it is missing"}},
		{"url scheme", "http://127.0.0.1:8090/features", "127.0.0.1:8090", 11, "feature_service.url", []string{"is no URL of a feature service; write one like http://"}},
		{"url fragment", "/features\"", "/features#x\"", 11, "feature_service.url", []string{"fragment", "leave it out"}},
		{"timeout without unit", "  url:", "  fast: {timeout: 60}\n  url:", 11, "feature_service.fast.timeout", []string{`"60" is no duration; write a number with its unit`}},
		{"timeout negative", "  url:", "  slow: {timeout: -3s}\n  url:", 11, "feature_service.slow.timeout", []string{"out of range"}},
		{"families on the slow lane", "  url:", "  slow: {max_families: 3}\n  url:", 11, "feature_service.slow.max_families", []string{"unknown field; use max_attempts, max_in_flight or timeout"}},
		{"quoted number", "  url:", "  slow: {max_in_flight: \"3\"}\n  url:", 11, "feature_service.slow.max_in_flight", []string{"without quotes"}},
		{"no word but auto", "  url:", "  fast: {max_in_flight: many}\n  url:", 11, "feature_service.fast.max_in_flight", []string{"is no whole number", "or auto"}},
		{"auto where it is a process's own", "table: features", "table: features\n  max_in_flight: auto", 8, "dynamodb.max_in_flight", []string{"is no whole number"}},
		{"fraction", "  url:", "  slow: {max_in_flight: 1.5}\n  url:", 11, "feature_service.slow.max_in_flight", []string{"is no whole number"}},
		{"far too large", "  url:", "  slow: {max_in_flight: 99999999999999999999}\n  url:", 11, "feature_service.slow.max_in_flight", []string{"from 1 to 100000"}},

		{"output dir", "run: demo", "run: demo\noutput: {dir: \"\"}", 2, "output.dir", []string{"is empty"}},
		{"bucket", "run: demo", "run: demo\noutput: {s3: {bucket: My_Bucket}}", 2, "output.s3.bucket", []string{`"My_Bucket" is no bucket name: it has capital letters; use a-z`}},
		{"output dir in S3", "run: demo", "run: demo\noutput: {dir: \"s3://bkt/a/b/\"}", 2, "output.dir", []string{"write `output: {s3: {bucket: bkt, prefix: a/b}}`"}},
		{"bucket as a URL", "run: demo", "run: demo\noutput: {s3: {bucket: \"s3://b\"}}", 2, "output.s3.bucket", []string{"is a URL; give the bucket's name alone"}},
		{"bucket too long", "run: demo", "run: demo\noutput: {s3: {bucket: " + strings.Repeat("b", 64) + "}}", 2, "output.s3.bucket", []string{"use up to 63"}},
		{"prefix as a URL", "run: demo", "run: demo\noutput: {s3: {bucket: bkt, prefix: \"s3://b/p\"}}", 2, "output.s3.prefix", []string{"output.s3.bucket"}},
		{"prefix with dots", "run: demo", "run: demo\noutput: {s3: {bucket: bkt, prefix: a/../b}}", 2, "output.s3.prefix", []string{"has a folder called"}},
		{"prefix too long", "run: demo", "run: demo\noutput: {s3: {bucket: bkt, prefix: " + strings.Repeat("p", 513) + "}}", 2, "output.s3.prefix", []string{"the most is 512"}},
		{"bucket missing", "run: demo", "run: demo\noutput: {s3: {prefix: p}}", 2, "output.s3.bucket", []string{"it is missing"}},
		{"prefix", "run: demo", "run: demo\noutput: {s3: {bucket: bkt, prefix: /p}}", 2, "output.s3.prefix", []string{"write it like datasets/training"}},
		{"time zone", "run: demo", "run: demo\nrecords: {timezone: Nairobi}", 2, "records.timezone", []string{`"Nairobi" is no time zone; use UTC or a name such as`}},
		{"one column for two", "run: demo", "run: demo\nrecords: {user_id: a, pitc_timestamp: a}", 2, "records.pitc_timestamp", []string{"is records.user_id already; name another one"}},
		{"attribute is the user", "run: demo", "run: demo\nrecords: {attributes: [b, user_id]}", 2, "records.attributes[1]", []string{"leave it out"}},
		{"idle", "run: demo", "run: demo\ninput: {idle: soon}", 2, "input.idle", []string{"is no duration"}},
		{"idle for ever", "run: demo", "run: demo\ninput: {idle: 9999h}", 2, "input.idle", []string{"at most 720h"}},
		{"max_bytes", "run: demo", "run: demo\ninput: {max_bytes: much}", 2, "input.max_bytes", []string{"is no size; write a number of bytes"}},
		{"max_bytes small", "run: demo", "run: demo\ninput: {max_bytes: 4}", 2, "input.max_bytes", []string{"out of range; write a size from 1.0 MB"}},
		{"hit ratio", "run: demo", "run: demo\nwarm_up: {dynamodb: {expected_hit_ratio: 80}}", 2, "warm_up.dynamodb.expected_hit_ratio", []string{"write a number from 0 to 1"}},
		{"not a number", "run: demo", "run: demo\nwarm_up: {dynamodb: {expected_hit_ratio: .nan}}", 2, "warm_up.dynamodb.expected_hit_ratio", []string{"from 0 to 1"}},
		{"warm-up empty", "run: demo", "run: demo\nwarm_up:\n  dynamodb:", 3, "warm_up.dynamodb", []string{"it has no value"}},
		{"hpa", "run: demo", "run: demo\nwarm_up: {feature_service: {hpa: {namespace: a, name: b}}}", 2, "warm_up.feature_service.hpa.min_replicas", []string{"it is missing"}},
		{"rds halves", "run: demo", "run: demo\nwarm_up: {rds: [{instance: a, min_acu: 2}]}", 2, "warm_up.rds[0]", []string{"either instance with class, or cluster with min_acu"}},
		{"acu", "run: demo", "run: demo\nwarm_up: {rds: [{cluster: a, min_acu: 2.3}]}", 2, "warm_up.rds[0].min_acu", []string{"counts in halves"}},
		{"class", "run: demo", "run: demo\nwarm_up: {rds: [{instance: a, class: large}]}", 2, "warm_up.rds[0].class", []string{"write one like db."}},
		{"reaction", "run: demo", "run: demo\nfailure_policy: {data: {constant: panic}}", 2, "failure_policy.data.constant", []string{`"panic" is no reaction; use ignore, warn or stop`}},
		{"ratio", "run: demo", "run: demo\nfailure_policy: {failed_ratio: {over: 1.5}}", 2, "failure_policy.failed_ratio.over", []string{"from 0 to 1"}},
		{"budget", "run: demo", "run: demo\nbudget: {max_cost_usd: 0}", 2, "budget.max_cost_usd", []string{"out of range"}},
		{"budget as text", "run: demo", "run: demo\nbudget: {max_read_units: 1M}", 2, "budget.max_read_units", []string{"is no whole number"}},
		{"bad reference", "run: demo", "run: \"${RUN:-x}\"", 1, "run", []string{"write ${NAME}, or $$"}},
		{"open reference", "run: demo", "run: \"${RUN\"", 1, "run", []string{"write ${NAME}"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := tc.to
			if tc.from != "" {
				if text = strings.Replace(minimal, tc.from, tc.to, 1); text == minimal {
					t.Fatal("the case changes nothing")
				}
			}
			_, err := Parse("run.yaml", []byte(text))
			if err == nil {
				t.Fatal("it was accepted")
			}
			wantError(t, err, tc.line, tc.field, tc.parts...)
		})
	}
}
