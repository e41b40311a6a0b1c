//! The table of all points.

macro_rules! points {
    ($($(#[doc = $text:literal])* $name:ident,)*) => {
        /// Where a process may die. Its name is how a test says so.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Point { $($(#[doc = $text])* $name,)* }

        /// In the order of the table.
        pub const ALL: &[Point] = &[$(Point::$name,)*];

        impl Point {
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            pub fn named(name: &str) -> Option<Self> {
                match name { $(stringify!($name) => Some(Self::$name),)* _ => None }
            }
        }
    };
}

points! {
    // The start of an agent, and its end.
    /// A directory is locked, and not signed.
    LockTaken,
    /// Both directories are this agent's.
    Locked,
    /// What an earlier agent wrote down is read.
    StateRead,
    /// Containers that are there are found.
    ContainersFound,
    /// How this agent differs from the earlier one is written down.
    Remembered,
    /// Every task has an owner again.
    TasksTakenOver,
    /// Containers that belong to no task are killed.
    OrphansKilled,
    /// The master has given an id, which is not written down.
    IdGiven,
    /// The id is written down.
    Registered,
    /// The agent was asked to end, and its tasks know.
    Left,
    /// A directory of the subtree of cgroups is gone.
    CgroupRootRemoved,

    // Records below `work_dir/meta`.
    /// A file of one record is about to be written.
    CheckpointDue,
    /// It is half there, under its temporary name.
    CheckpointCut,
    /// It is there under its temporary name.
    CheckpointWritten,
    /// It has its name, and its directory is not synced.
    CheckpointNamed,
    /// A link is there under its temporary name.
    LinkMade,
    /// It has its name.
    LinkNamed,
    /// A journal's file is there, and empty or as it was.
    JournalOpened,
    /// The next record is half there.
    JournalCut,
    /// It is there, and not synced.
    JournalWritten,
    /// It is on the disk, where it must be.
    JournalKept,

    // The way of a task to its container.
    /// The master has sent it.
    TaskTaken,
    /// Its executor is written down.
    ExecutorWritten,
    /// It is written down itself.
    TaskWritten,
    /// Its sandbox is an empty directory.
    SandboxMade,
    /// There are logs in it.
    LogsMade,
    /// It is its user's.
    SandboxGiven,
    /// All of it is there, and what is to be launched is planned.
    SandboxReady,
    /// Its files are in its sandbox.
    Fetched,
    /// What somebody had is taken away, for it.
    IdsFreed,
    /// It has ids of the host.
    IdsTaken,
    /// Its network is an empty directory.
    LeasePlaced,
    /// Which addresses and ports it has is written under a temporary name.
    LeaseWritten,
    /// That has its name.
    Leased,
    /// The node has its bridge.
    BridgeMade,
    /// And its rules, of all containers that there are.
    RulesMade,
    /// There is a link on the bridge whose other end is in its namespace.
    PairMade,
    /// Nobody else is at that port of the bridge.
    PairHeld,
    /// It has its addresses.
    PairFurnished,
    /// Rules know it, and ports of the host lead to it.
    Connected,
    /// What it has of named networks is an empty directory.
    NetworksPlaced,
    /// Which they are, and what their plugins have said, is written under a temporary name.
    NetworksWritten,
    /// That has its name.
    NetworksKnown,
    /// Its network namespace has a file, for plugins.
    NamespacePinned,
    /// Plugins have connected it with one of them, and what they said is not written down.
    NetworkAdded,
    /// What its programs look up is written.
    LookupsWritten,
    /// Its record is an empty directory.
    RecordMade,
    /// One directory of its cgroups is there, or of those that are above them.
    CgroupMade,
    /// All are there, without limits.
    CgroupUnlimited,
    /// Its cgroups are ready.
    CgroupReady,
    /// There is a file for how it ends.
    StatusMade,
    /// Its first process is there, and nobody has written down which it is.
    Spawned,
    /// That is written under its temporary name.
    PidMade,
    /// It has its name.
    PidWritten,
    /// Its spec is half there.
    SpecCut,
    /// Its record is whole; its first process makes its way by itself.
    InitRuns,
    /// Its command runs.
    CommandRuns,
    /// How long all that took is written down.
    TimingsWritten,
    /// Its owner hears of it.
    Launched,
    /// A launch that came far must be put away; its container is killed.
    GivenUp,
    /// A launch has failed, and nothing says so yet.
    LaunchFailed,

    // Custom executors and their tasks.
    /// The master has sent a task for one.
    HostedTaskTaken,
    /// It is written down that the executor speaks for itself.
    ExecutorMarked,
    /// So is a task that waits for it, and as which it came.
    HostedTaskWaits,
    /// It has subscribed, and was told nothing.
    ExecutorSubscribed,
    /// Its container has what its tasks need.
    ExecutorResized,
    /// It is written down that a task is handed over.
    HandOverWritten,
    /// The executor was sent it.
    HandedOver,
    /// It has said something of a task.
    ExecutorSpoke,
    /// That is in the task's journal, and neither acknowledged nor passed on.
    ExecutorsUpdateWritten,
    /// It is written down that one of its tasks is to end.
    HostedKillWritten,
    /// It is written down that it is to end itself.
    ExecutorEndWritten,
    /// It was made to end.
    ExecutorKilled,
    /// Its owner hears that its container has ended.
    ExecutorEndHeard,
    /// The ends of its tasks are written down, and its container's record is gone.
    ExecutorForgotten,
    /// It is over, and that is written down.
    ExecutorClosed,

    // Quotas.
    /// A sandbox was looked at.
    SandboxMeasured,
    /// A task has taken too much, and goes on to.
    OverDisk,

    // What is said of it.
    /// An update is in its journal, and what is told by that is let go.
    UpdateWritten,
    /// It is with the link to the master.
    UpdateSent,
    /// The master has acknowledged it, and that is not written down.
    Acknowledged,

    // Its end.
    /// The master wants it to end.
    KillTaken,
    /// That is written down.
    KillWritten,
    /// A launch is called off.
    LaunchCalledOff,
    /// It was asked to end.
    Terminated,
    /// It was made to end.
    Killed,
    /// Its first process has ended, and can be waited for.
    EndSeen,
    /// It was waited for.
    Reaped,
    /// One directory of its cgroups is gone, or busy.
    CgroupRemoved,
    /// All are gone.
    Released,
    /// Its owner hears of its end.
    EndHeard,
    /// Rules do not know it any more.
    Disconnected,
    /// Others may have its addresses and ports.
    LeaseEnded,
    /// Plugins have disconnected it from all named networks.
    NetworksDeleted,
    /// Its network namespace has no file any more.
    NamespaceUnpinned,
    /// What it had of named networks is not written down any more.
    NetworksForgotten,
    /// Its record has lost the file that says which its first process is.
    RecordCutPid,
    /// The spec.
    RecordCutSpec,
    /// How it ended.
    RecordCutStatus,
    /// Its record is gone.
    RecordGone,
    /// All is said and acknowledged; garbage collection counts from now on.
    SandboxAged,
    /// That is written down.
    Closed,

    // A drain.
    /// It is written down, or that it is taken back.
    DrainWritten,
    /// Its deadline has come.
    DrainDue,
    /// Whatever runs was told to end.
    DrainKilled,
    /// The master was told of it.
    DrainTold,

    // An upgrade in place: of the agent that goes.
    /// It is noted that one is under way.
    UpgradeBegun,
    /// The new process has the locks, too.
    SuccessorStarted,
    /// All that only it knew is on the disk.
    WrittenDown,
    /// Nothing that runs is in its hands any more.
    Relieved,
    /// The other one was told to recover.
    GoSaid,
    /// It has recovered, and the master has said its last here.
    HeardOut,
    /// The agent is the other one's, from when it hears that.
    HandedOn,
    /// It has heard.
    ServingHeard,

    // And of the one that comes.
    /// It has the socket and the locks.
    GroundInherited,
    /// It can take over.
    SuccessorPrepared,
    /// It has all that runs, and the master has taken it.
    TakenOver,
    /// It has said so.
    ReadySaid,
    /// It is the agent.
    TurnedIntoAgent,
    /// Clients are let in.
    DoorOpened,
    /// The locks name it.
    LocksOwned,
    /// It has said that it serves, and nobody has written that down.
    ServingSaid,

    // Logs.
    /// There is a file that will be the newest rotated one.
    LogCopyEmpty,
    /// It holds what it will.
    LogCopied,
    /// A note says that a rotation has begun.
    LogBegun,
    /// The first block is taken from the log.
    LogFirstBlockHollow,
    /// A note says so.
    LogHollow,
    /// All that was copied is taken from it.
    LogTakenOut,
    /// The copy has its name.
    LogNamed,

    // Garbage.
    /// An entry of a tree is gone, others are there.
    TreeCut,
    /// All below its top is gone.
    TreeEmpty,
    /// What was written down of a run's tasks is gone, and not that they are over.
    TasksCollected,
    /// All of that is gone.
    CheckpointCollected,
    /// Its sandbox is gone.
    SandboxCollected,
    /// No link leads there.
    LatestCollected,
    /// The directories above it are gone, if they had nothing else.
    RunsCollected,
    /// The same of what was written down.
    ExecutorRunsGone,
    /// Its executor is forgotten, and has a directory.
    ExecutorInfoGone,
}
