package session

import (
	"container/heap"
	"sync"
	"time"
)

// longestSleep bounds how long a suspension of this machine goes unnoticed.
const longestSleep = time.Minute

// scheduler runs jobs when they are due, on a bounded number of workers, with
// one timer for all. It also spaces the logins of a fleet that starts. It knows
// nothing of sessions.
type scheduler struct {
	epoch  time.Time     // times are counted from it
	nudge  chan struct{} // the timer may be set too late
	handed chan task     // to the worker that is idle
	stop   chan struct{}
	ended  sync.WaitGroup
	clock  *wallClock
	jumped func()

	mu      sync.Mutex // guards what follows, and every job
	healthy pool
	failing pool // jobs whose last run failed
	busy    int
	most    int
	idle    bool    // a worker waits at handed
	armed   instant // when the timer fires
	each    time.Duration
	slot    instant // the next free one for a login
	stopped bool
}

// instant is a time, counted from a scheduler's epoch.
type instant time.Duration

// never is later than any job.
const never = instant(1<<63 - 1)

// pool is one of the two ways to the workers. PBXs that do not respond keep a
// worker for as long as a request may take. In a pool of their own they cannot
// keep all of them.
type pool struct {
	queue queue
	busy  int // workers
	most  int
}

// job is something to run at a certain time. A scheduler's mutex guards it, but for
// the runner, which does not change.
type job struct {
	runner
	due      instant // never: not by time
	slot     instant // for a login
	index    int32   // in a queue; -1: in none
	poked    bool    // due does not become later
	failing  bool    // which pool's queue
	admitted bool    // slot is given
}

// runner does the work of a job.
type runner interface{ run() }

func newJob(r runner) job { return job{runner: r, due: never, index: -1} }

// newScheduler starts a scheduler. jumped is called when the wall clock ran ahead
// of the monotonic one.
func newScheduler(workers, loginsPerSecond int, wall func() time.Time, jumped func()) *scheduler {
	s := &scheduler{
		epoch: time.Now(), nudge: make(chan struct{}, 1), handed: make(chan task, 1), stop: make(chan struct{}), clock: newWallClock(wall), jumped: jumped,
		healthy: pool{most: workers}, failing: pool{most: max(workers/2, 1)}, most: workers,
		each: time.Second / time.Duration(loginsPerSecond), slot: -instant(time.Hour),
	}
	s.ended.Go(s.watch)
	return s
}

func (s *scheduler) now() instant { return instant(time.Since(s.epoch)) }

// instant is a time, or the epoch if that is later.
func (s *scheduler) instant(at time.Time) instant { return max(instant(at.Sub(s.epoch)), 0) }

// end stops the timer and waits for the workers.
func (s *scheduler) end() {
	s.mu.Lock()
	if !s.stopped {
		s.stopped = true
		close(s.stop)
	}
	s.mu.Unlock()
	s.ended.Wait()
}

func (s *scheduler) pool(j *job) *pool {
	if j.failing {
		return &s.failing
	}
	return &s.healthy
}

// set plans the job; the zero time: not. What a poke has planned stays.
func (s *scheduler) set(j *job, at time.Time, failing bool) {
	due := never
	if !at.IsZero() {
		due = s.instant(at)
	}
	s.mu.Lock()
	if j.poked {
		due = min(due, j.due)
	}
	if due == j.due && failing == j.failing {
		s.mu.Unlock()
		return
	}
	if j.failing != failing && j.index >= 0 {
		heap.Remove(&s.pool(j).queue, int(j.index))
	}
	j.due, j.failing = due, failing
	s.place(j)
}

// poke runs the job as soon as a worker is free.
func (s *scheduler) poke(j *job) { s.pokeAt(j, time.Now()) }

// pokeAt runs the job at that time at the latest.
func (s *scheduler) pokeAt(j *job, at time.Time) {
	s.mu.Lock()
	j.poked, j.due = true, min(j.due, s.instant(at))
	s.place(j)
}

// place puts the job where it belongs and unlocks s.
func (s *scheduler) place(j *job) {
	q := &s.pool(j).queue
	switch queued := j.index >= 0; {
	case j.due == never && queued:
		heap.Remove(q, int(j.index))
	case j.due == never:
	case queued:
		q.moved(j)
	default:
		heap.Push(q, j)
	}
	sooner := j.index >= 0 && j.due < s.armed
	if sooner {
		s.armed = j.due
	}
	s.mu.Unlock()
	if sooner {
		select {
		case s.nudge <- struct{}{}:
		default:
		}
	}
}

// watch starts workers for what is due, in the order of time.
func (s *scheduler) watch() {
	timer := time.NewTimer(longestSleep)
	defer timer.Stop()
	for {
		if s.clock.jumped() {
			s.jumped()
		}
		s.mu.Lock()
		now := s.now()
		for _, p := range []*pool{&s.healthy, &s.failing} {
			for j := s.take(p, now); j != nil; j = s.take(p, now) {
				if s.idle {
					s.idle = false
					s.handed <- task{j, p}
					continue
				}
				s.ended.Go(func() { s.work(task{j, p}) })
			}
		}
		s.armed = now + instant(longestSleep)
		for _, p := range []*pool{&s.healthy, &s.failing} {
			if len(p.queue) > 0 && s.free(p) {
				s.armed = min(s.armed, p.queue[0].due)
			}
		}
		wait := time.Duration(s.armed - now)
		s.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-s.nudge:
		case <-s.stop:
			return
		}
	}
}

func (s *scheduler) free(p *pool) bool { return p.busy < p.most && s.busy < s.most && !s.stopped }

// take returns the next job of p that is due, for a worker that is free. s.mu is
// held.
func (s *scheduler) take(p *pool, now instant) *job {
	if len(p.queue) == 0 || !s.free(p) || p.queue[0].due > now {
		return nil
	}
	j := heap.Pop(&p.queue).(*job)
	j.poked, j.due = false, never
	p.busy++
	s.busy++
	return j
}

// task is a job for a worker of a pool.
type task struct {
	job  *job
	pool *pool
}

// work runs a job, and then others that have become due.
func (s *scheduler) work(t task) {
	for t.job != nil {
		t.job.run()
		t = s.next(t.pool)
	}
}

// worthWaiting is how many jobs a fleet has in which a worker waits for the next
// one. Starting a worker takes about as long as a large part of a keep-alive.
const worthWaiting = 100

// next ends a run in a pool and returns what the worker does next; the zero task:
// it ends.
func (s *scheduler) next(p *pool) task {
	s.mu.Lock()
	s.busy--
	p.busy--
	now := s.now()
	for _, p := range []*pool{&s.healthy, &s.failing} {
		if j := s.take(p, now); j != nil {
			s.mu.Unlock()
			return task{j, p}
		}
	}
	for _, p := range []*pool{&s.healthy, &s.failing} { // the timer did not look at queues that had no worker
		if len(p.queue) > 0 && p.queue[0].due < s.armed {
			s.armed = p.queue[0].due
			select {
			case s.nudge <- struct{}{}:
			default:
			}
		}
	}
	waits := !s.idle && !s.stopped && len(s.healthy.queue) >= worthWaiting
	s.idle = s.idle || waits
	s.mu.Unlock()
	if !waits {
		return task{}
	}
	select {
	case t := <-s.handed:
		return t
	case <-s.stop:
	}
	select {
	case t := <-s.handed: // just before the stop
		return t
	default:
		return task{}
	}
}

// admission gives out slots for logins, so that not all of a fleet log in at
// once. The job keeps its slot until admitted. It returns the slot, and whether
// it has come.
func (s *scheduler) admission(j *job) (at time.Time, now bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.now()
	if !j.admitted {
		s.slot = max(s.slot, t-instant(time.Second)) // a second's worth may go at once
		j.admitted, j.slot = true, s.slot
		s.slot += instant(s.each)
	}
	return s.epoch.Add(time.Duration(j.slot)), j.slot <= t
}

// admitted takes the job's slot back: its login goes.
func (s *scheduler) admitted(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j.admitted = false
}

// queue is a heap by time. The times stand in it, because jobs are far apart in
// memory.
type queue []planned

type planned struct {
	due instant
	job *job
}

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, k int) bool { return q[i].due < q[k].due }
func (q queue) Swap(i, k int) {
	q[i], q[k] = q[k], q[i]
	q[i].job.index, q[k].job.index = int32(i), int32(k)
}
func (q *queue) Push(x any) {
	j := x.(*job)
	j.index = int32(len(*q))
	*q = append(*q, planned{j.due, j})
}
func (q *queue) Pop() any {
	last := len(*q) - 1
	j := (*q)[last].job
	(*q)[last] = planned{}
	*q = (*q)[:last]
	j.index = -1
	return j
}

// moved puts a job whose time has changed where it belongs.
func (q queue) moved(j *job) {
	q[j.index].due = j.due
	heap.Fix(&q, int(j.index))
}
