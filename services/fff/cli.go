package fff

import "github.com/alecthomas/kong"

// cli is the grammar of the command line.
type cli struct {
	Run     runCmd     `cmd:"" help:"Run a job from its records to a finished dataset."`
	Plan    planCmd    `cmd:"" help:"Say what a job would take, cost and change, and change nothing."`
	Up      upCmd      `cmd:"" help:"Run the whole system in this process and wait for jobs."`
	Submit  submitCmd  `cmd:"" help:"Give a job to a system that runs already."`
	Runs    runsCmd    `cmd:"" help:"List, show, wait for, cancel and tear down runs."`
	Failed  failedCmd  `cmd:"" help:"Look at what failed, replay it or drop it."`
	Verify  verifyCmd  `cmd:"" help:"Prove that a dataset holds every requested cell exactly once."`
	Streams streamsCmd `cmd:"" help:"Show, make or export the streams of the broker."`
	Sandbox sandboxCmd `cmd:"" help:"Run stand-ins for DynamoDB and the feature service."`
	Config  configCmd  `cmd:"" help:"Show the settings that come from the environment."`
	Health  healthCmd  `cmd:"" help:"Ask a service whether it is ready; for the health checks of containers."`
	Version versionCmd `cmd:"" help:"Show the version."`
	Guard   guardCmd   `cmd:"" hidden:""`
}

var helpVars = kong.Vars{
	"nats_help":     "URL of the NATS servers; FFF_NATS_URL when left out.",
	"progress_help": "How progress is shown: auto (bars on a terminal, else plain), plain, json (lines on stdout), none.",
	"bad_help":      "What to do about bad records of the file: fail before anything is published, or skip and list them as failures.",
}

// connection are the flags of commands that talk to a broker.
type connection struct {
	NATS string `name:"nats" placeholder:"URL" help:"${nats_help}"`
}

// listing are the flags of commands that print lists.
type listing struct {
	Output string `short:"o" enum:"table,json" default:"table" help:"Form of the result: table or json."`
}

// progressFlags are the flags of commands that follow a run.
type progressFlags struct {
	Progress string `enum:"auto,plain,json,none" default:"auto" help:"${progress_help}"`
	Quiet    bool   `short:"q" help:"No progress and no summary; errors and the exit code only."`
}

// jobFlags say what is to be run.
type jobFlags struct {
	File       string `short:"f" required:"" placeholder:"FILE" help:"Run file (YAML or JSON), or s3://bucket/key."`
	Run        string `placeholder:"ID" help:"Id of the run; the run file's when left out."`
	Out        string `placeholder:"DIR" help:"Directory of the output; the run file's when left out. A dataset in S3 stays there."`
	BadRecords string `enum:"fail,skip" default:"fail" help:"${bad_help}"`
	TakeOver   bool   `help:"Take the dataset over from another system that is believed to be alive."`
}
