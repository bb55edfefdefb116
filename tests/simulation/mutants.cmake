# A mutant is the simulator in front of one or two changed source files. The change is made by exact text, which must be found exactly
# once, so that it cannot miss silently; the changed object defines all that its namesake in the library does, so the linker takes it
# instead. Each must be caught within 500 seeds, as a breach of the named promise.
file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/mutants/headers.cc" "// Anchors the precompiled header.\n")
add_library(ferment_mutant_headers OBJECT "${CMAKE_CURRENT_BINARY_DIR}/mutants/headers.cc")
target_link_libraries(ferment_mutant_headers PRIVATE ferment_simulation)
target_compile_options(ferment_mutant_headers PRIVATE -O0 -fPIC)
target_precompile_headers(ferment_mutant_headers PRIVATE "${CMAKE_SOURCE_DIR}/coordinator/scheduler/run_engine.h")
# A compiler cache would hand out one of another checkout, which names that one's headers.
set_target_properties(ferment_mutant_headers PROPERTIES CXX_COMPILER_LAUNCHER "")

function(ferment_mutant name promise)
  set(sources)
  math(EXPR last "${ARGC} - 1")
  foreach(i RANGE 2 ${last} 3)
    math(EXPR j "${i} + 1")
    math(EXPR k "${i} + 2")
    set(source "${ARGV${i}}")
    string(MAKE_C_IDENTIFIER "${source}" id)
    if(NOT DEFINED text_${id})
      set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/${source}")
      file(READ "${CMAKE_SOURCE_DIR}/${source}" text_${id})
      list(APPEND sources ${source})
    endif()
    string(REPLACE "${ARGV${j}}" "" without "${text_${id}}")
    string(LENGTH "${text_${id}}" before)
    string(LENGTH "${without}" after)
    string(LENGTH "${ARGV${j}}" length)
    math(EXPR removed "${before} - ${after}")
    if(NOT removed EQUAL length)
      message(FATAL_ERROR "mutant ${name}: this text must stand exactly once in ${source}:\n${ARGV${j}}")
    endif()
    string(REPLACE "${ARGV${j}}" "${ARGV${k}}" text_${id} "${text_${id}}")
  endforeach()
  set(mutated)
  foreach(source ${sources})
    string(MAKE_C_IDENTIFIER "${source}" id)
    cmake_path(GET source FILENAME file)
    set(path "${CMAKE_CURRENT_BINARY_DIR}/mutants/${name}/${file}")
    file(CONFIGURE OUTPUT "${path}" CONTENT "@text_${id}@" @ONLY)
    list(APPEND mutated "${path}")
  endforeach()
  add_executable(mutant_${name} ${mutated})
  target_link_libraries(mutant_${name} PRIVATE ferment_sim_main)
  target_compile_options(mutant_${name} PRIVATE -O0 -fPIC)
  target_precompile_headers(mutant_${name} REUSE_FROM ferment_mutant_headers)
  set_target_properties(mutant_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  add_test(NAME sim.mutant.${name} COMMAND mutant_${name} --count 500 --expect ${promise})
  set_tests_properties(sim.mutant.${name} PROPERTIES TIMEOUT 300 LABELS sim)
endfunction()

# Epochs and leases.
ferment_mutant(epoch_starts_again_after_release T1.5
  coordinator/core/job_book.cc
  [[  job.SetState(index, ShardState::kPending);]]
  [[  job.SetState(index, ShardState::kPending); job.shards[index].epoch = 0;]])
ferment_mutant(commit_compares_no_epoch P3
  coordinator/desks/lease_desk.cc
  [[  const auto found = FindLeased(result.key);
  if (!found) {]]
  [[  LeaseKey present = result.key; present.epoch = at.shard->epoch;
  const auto found = FindLeased(present);
  if (!found) {]]
  coordinator/core/job_book.cc
  [[shard.state == ShardState::kLeased && shard.epoch == key.epoch)]]
  [[shard.state == ShardState::kLeased)]])
ferment_mutant(commit_compares_no_state P3
  coordinator/desks/lease_desk.cc
  [[  const auto found = FindLeased(result.key);
  if (!found) {]]
  [[  const auto found = Find(result.key);
  if (!found || at.shard->epoch != result.key.epoch) {]]
  coordinator/desks/lease_desk.cc
  [[    metrics_.commit_fenced.Increment();
    return Fail(found.error());]]
  [[    metrics_.commit_fenced.Increment();
    return Fail(AbortedError("the lease is lost"));]]
  coordinator/core/job_book.cc
  [[shard.state == ShardState::kLeased && shard.epoch == key.epoch)]]
  [[shard.epoch == key.epoch)]])
ferment_mutant(renewal_steals_the_lease_back T1.6
  coordinator/desks/lease_desk.cc
  [[  FERMENT_ASSIGN_OR_RETURN(const Found found, FindLeased(key));
  Held& held = Hold(key);]]
  [[  FERMENT_ASSIGN_OR_RETURN(const Found there, Find(key));
  LeaseKey present = key; present.epoch = there.shard->epoch;
  FERMENT_ASSIGN_OR_RETURN(const Found found, FindLeased(present));
  Held& held = Hold(present);]])
ferment_mutant(call_for_leases_is_forgotten T1.3
  coordinator/core/job_book.cc
  [[  labeler->second.last_call = event.call;]]
  [[]])
ferment_mutant(expiry_forgets_to_requeue live
  coordinator/desks/lease_desk.cc
  [[    Release(key, ReleaseReason::kExpired);]]
  [[    Drop(key);]])
ferment_mutant(restart_gives_no_full_lease_time P12
  coordinator/desks/lease_desk.cc
  [[  for (const LeaseKey& key : ledger_.book().AllLeases()) Hold(key);]]
  [[  for (const LeaseKey& key : ledger_.book().AllLeases()) {
    Held& held = Hold(key);
    held.deadline -= held.lease_time / 8 * 7;
  }
  next_look_ = MonotonicTime::min();]])
# Where the judge looks at nothing but what an outage costs.
ferment_mutant(outage_costs_the_work_in_hand P12
  coordinator/desks/lease_desk.cc
  [[  for (const LeaseKey& key : ledger_.book().AllLeases()) Hold(key);]]
  [[  for (const LeaseKey& key : ledger_.book().AllLeases()) {
    Held& held = Hold(key);
    held.deadline -= held.lease_time / 8 * 7;
  }
  next_look_ = MonotonicTime::min();]]
  tests/simulation/sim_oracle.cc
  [[  history_.Violate("P12",
                   "a lease was taken before]]
  [[  if (key.run_id.empty()) history_.Violate("P12",
                   "a lease was taken before]])
ferment_mutant(labelers_wait_for_nine_minutes P12
  tests/simulation/sim_network.cc
  [[rpc::kOutagePatience]]
  [[rpc::kOutagePatience - std::chrono::minutes(1)]])
# Commits.
ferment_mutant(commit_again_counts_twice P1
  coordinator/desks/lease_desk.cc
  [[  if (at.shard->state == ShardState::kCommitted) return AnswerCommitted(at, result);]]
  [[  if (at.shard->state == ShardState::kCommitted && at.job->FilesOf(*at.shard) != result.files) return AnswerCommitted(at, result);
  if (at.shard->state == ShardState::kCommitted) {
    ledger_.Record(ShardCommitted{result.key, result.request_id, result.files, result.counts, 0, 0, 0});
    return true;
  }]]
  coordinator/core/job_book.cc
  [[shard.state == ShardState::kLeased && shard.epoch == key.epoch)]]
  [[shard.epoch > 0)]])
ferment_mutant(counts_need_not_add_up P7
  coordinator/desks/shard_result.cc
  [[  if (!counts.Conserved()) {]]
  [[  if (!counts.Conserved() && counts.read == 0) {]])
ferment_mutant(last_commit_wins P1,P2
  coordinator/desks/lease_desk.cc
  [[  if (committed == result.files) {]]
  [[  auto& folders = const_cast<Job&>(*found.job).result_folders;
  const_cast<Shard&>(*found.shard).files = PackedFiles(result.files, folders);
  if (committed == result.files) {]])
# The log.
ferment_mutant(answers_before_the_save P2
  coordinator/scheduler/run_engine.cc
  [[  if (poll) Poll();]]
  [[  if (poll) Poll();
  for (const Operation& operation : batch) {
    if (operation.answer) operation.answer(Status());
  }
  const std::span<const Operation> asked = std::exchange(batch, {});]]
  coordinator/scheduler/run_engine.cc
  [[  const Status told =]]
  [[  (void)asked;
  const Status told =]])
ferment_mutant(goes_on_after_a_failed_sync 204
  coordinator/scheduler/run_engine.cc
  [[    FERMENT_RETURN_IF_ERROR(parts_.store.Append(batch));]]
  [[    if (const Status ignored = parts_.store.Append(batch); !ignored.ok()) parts_.metrics.rejected.Increment();]])
ferment_mutant(replay_skips_the_last_event P2
  coordinator/scheduler/run_engine.cc
  [[parts_.store.Replay([this](const Event& event) {
    ledger_.Restore(event);]]
  [[parts_.store.Replay([this, held = std::vector<Event>()](const Event& event) mutable {
    for (const Event& former : held) ledger_.Restore(former);
    held = {event};]])
ferment_mutant(store_returns_before_the_sync P2
  tests/simulation/sim_disk.cc
  [[  disk_.Sync();]]
  [[]])
ferment_mutant(fenced_store_writes_on P1,P3,T1.6
  tests/simulation/sim_disk.cc
  [[  if (failed_.ok() && disk_.term != term_) {]]
  [[  if (failed_.ok() && term_ == 0) {]])
ferment_mutant(folder_is_not_fenced P1
  coordinator/scheduler/run_engine.cc
  [[[this] { return parts_.store.Confirm(); }]]
  [[[] { return Status(); }]])
ferment_mutant(answers_without_leading P2,T1.3,T1.6,204
  coordinator/scheduler/run_engine.cc
  [[    FERMENT_RETURN_IF_ERROR(parts_.store.Confirm());]]
  [[]])
# Runs and trainers.
ferment_mutant(request_id_is_forgotten T1.3
  coordinator/desks/run_desk.cc
  [[  if (!submission.request_id.empty()) {]]
  [[  if (submission.request_id.empty()) {]])
ferment_mutant(run_token_is_not_checked P5
  coordinator/desks/trainer_desk.cc
  [[    if (job->attempt.incarnation == request.incarnation) return job->attempt.token;]]
  [[    return job->attempt.token;]])
ferment_mutant(old_token_may_complete P3
  coordinator/desks/trainer_desk.cc
  [[job->attempt.token == 0 || job->attempt.token != key.token) {]]
  [[job->attempt.token == 0) {]])
ferment_mutant(cancelled_run_goes_on P2,live
  coordinator/desks/run_desk.cc
  [[  if (run.cancel_requested || FirstFailure(run)) {]]
  [[  if (FirstFailure(run)) {]]
  coordinator/desks/run_desk.cc
  [[ || run->cancel_requested || run->suspended) return;]]
  [[ || run->suspended) return;]]
  coordinator/core/pipeline.cc
  [[run.state != RunState::kRunning || run.cancel_requested || run.suspended) return false;]]
  [[run.state != RunState::kRunning || run.suspended) return false;]])
ferment_mutant(succeeds_with_a_hole P1
  coordinator/desks/run_desk.cc
  [[    if (job.committed == job.shards.size() && indexed)]]
  [[    if (job.committed + 1 >= job.shards.size() && indexed)]])
ferment_mutant(starts_again_without_limit retries
  coordinator/core/pipeline.cc
  [[MayRetry(reason.exit_code) && job.failed_attempts <= kRetryLimit;]]
  [[MayRetry(reason.exit_code);]])
ferment_mutant(launches_before_the_intent_is_saved P5
  coordinator/desks/trainer_desk.cc
  [[  parts_.ledger.AfterSave([this, request = std::move(request)] {]]
  [[  std::invoke([this, request = std::move(request)] {]])
# Teachers.
ferment_mutant(bad_teacher_is_not_stopped P16
  coordinator/desks/teacher_desk.cc
  [[  if (!verdict.trip) return;]]
  [[  if (!verdict.trip || run.run_id != job.plan.job_id) return;]])
ferment_mutant(stop_of_a_teacher_is_not_logged P16,cause
  coordinator/desks/teacher_desk.cc
  [[  ledger_.Record(TeacherTripped]]
  [[  ledger_.Restore(TeacherTripped]])
ferment_mutant(student_learns_from_a_stopped_teacher P10,P16
  coordinator/core/pipeline.cc
  [[  if (!of_a_round || HasEnded]]
  [[  if (!of_a_round || job.plan.phase != Phase::kLabel || HasEnded]])
ferment_mutant(index_of_a_stopped_teacher_goes_on P16
  coordinator/desks/run_desk.cc
  [[  parts_.teachers.Judge(run, job);]]
  [[  if (job.plan.phase == Phase::kLabel && job.state == JobState::kRunning) indexes_.IsCurrent(run, job);
  parts_.teachers.Judge(run, job);]])
ferment_mutant(labels_are_by_the_first_teacher P10
  coordinator/desks/run_desk.cc
  [[label ? TeacherSource(job.plan.round) :]]
  [[label ? TeacherSource(0) :]])
ferment_mutant(student_learns_the_round_before P10
  coordinator/core/pipeline.cc
  [[Phase::kCotrain, round, {IdOf(Phase::kLabel, round)}, false});]]
  [[Phase::kCotrain, round, {IdOf(Phase::kLabel, 0), TeacherSource(round)}, false});]])
ferment_mutant(student_begins_before_the_index P10
  coordinator/desks/run_desk.cc
  [[    if (job.committed == job.shards.size() && indexed)]]
  [[    if (job.committed == job.shards.size() && (indexed || job.plan.round > 0))]]
  tests/simulation/sim_oracle.cc
  [[      if (!job.label || job.state != JobState::kSucceeded) continue;]]
  [[      if (!job_id.empty()) continue;]])
ferment_mutant(canaries_are_not_logged P16
  coordinator/desks/lease_desk.cc
  [[result.peak_rss_bytes, result.canaries});]]
  [[result.peak_rss_bytes, {}});]])
ferment_mutant(snapshot_forgets_requests P2
  coordinator/core/job_book_snapshot.cc
  [[  FERMENT_RETURN_IF_ERROR(flush(1));]]
  [[]])
ferment_mutant(snapshot_is_of_what_is_not_saved check
  coordinator/scheduler/run_engine.cc
  [[    FERMENT_RETURN_IF_ERROR(parts_.store.Append(batch));
    log_events_ += batch.size();]]
  [[    log_events_ += batch.size();
    FERMENT_RETURN_IF_ERROR(CompactIfLong());
    FERMENT_RETURN_IF_ERROR(parts_.store.Append(batch));]])

# Machines that fail again and again.
ferment_mutant(labeler_that_fails_is_granted_on cool-down
  coordinator/desks/lease_desk.cc
  [[  if (const auto left = labelers_.CoolDownLeft(*labeler); left > std::chrono::milliseconds(0)) {]]
  [[  if (const auto left = labelers_.CoolDownLeft(*labeler); left > std::chrono::hours(9)) {]])
ferment_mutant(silent_deaths_do_not_count cool-down
  coordinator/core/job_book.cc
  [[  if (event.reason != ReleaseReason::kReturned) {]]
  [[  if (event.reason == ReleaseReason::kFailed) {]])
ferment_mutant(restart_ends_cool_downs cool-down
  coordinator/desks/labeler_desk.cc
  [[    known_[labeler_id].heard = clock_.Now();
    Judge(labeler_id);]]
  [[    known_[labeler_id].heard = clock_.Now();]])
ferment_mutant(failed_shard_goes_back elsewhere,machines
  coordinator/core/lease_policy.cc
  [[    if (doubt == 0) return true;]]
  [[    return true;]])
# The same before a judge that looks at nothing but what becomes of the runs.
ferment_mutant(faulty_machines_use_up_every_try machines
  coordinator/core/lease_policy.cc
  [[    if (doubt == 0) return true;]]
  [[    return true;]]
  tests/simulation/sim_machine_rules.cc
  [[  if (!event.alone) CheckNobodyBetterIsAtWork(name, event.key);]]
  [[]])
ferment_mutant(failed_shard_stays_on_the_machine elsewhere,machines
  coordinator/core/suspect.cc
  [[host == labeler.host ? 1 : 0;]]
  [[host == labeler.host ? 0 : 0;]])

# Shards that kill their labelers.
ferment_mutant(deaths_are_not_counted deadly,live
  coordinator/core/job_book.cc
  [[  CountDeath(job, shard, event);]]
  [[]])
ferment_mutant(suspect_shard_is_held_beside_others alone
  coordinator/core/lease_policy.cc
  [[      if (book_.LeasesOf(labeler_.labeler_id).empty()) {]]
  [[      if (!labeler_.labeler_id.empty()) {]])
ferment_mutant(who_returns_stays_blamed innocent,live
  coordinator/desks/labeler_desk.cc
  [[  if (labeler != nullptr && labeler->silent) ledger_.Record(LabelerReturned{labeler_id});]]
  [[  (void)labeler;]])

# Bugs that the simulator found in the core, put back.
ferment_mutant(was_ended_over_a_running_trainer P5
  coordinator/desks/run_desk.cc
  [[    if (job.state != JobState::kPending) continue;]]
  [[    if (HasEnded(job.state)) continue;]])
ferment_mutant(was_cancelled_again_by_an_old_request T1.3
  coordinator/desks/steering_desk.cc
  [[  if (repeated) return {};
  if (request_id.empty() && (run->state]]
  [[  if ((run->state]])
ferment_mutant(suspended_run_goes_on P2
  coordinator/core/pipeline.cc
  [[run.cancel_requested || run.suspended) return false;]]
  [[run.cancel_requested) return false;]])
ferment_mutant(suspended_run_is_leased P2
  coordinator/core/lease_policy.cc
  [[!run.suspended && job.state]]
  [[job.state]])
ferment_mutant(resumed_again_by_an_old_request T1.3
  coordinator/desks/steering_desk.cc
  [[  if (repeated) return {};
  if (const auto run = Running(]]
  [[  if (const auto run = Running(]])
ferment_mutant(was_replaced_by_an_older_labeler P12
  coordinator/desks/labeler_desk.cc
  [[    if (former != identity.replaces) return Registration{"", former};]]
  [[]])
ferment_mutant(was_launched_although_cancelled P2
  coordinator/desks/trainer_desk.cc
  [[  if (never_ran && !draining_ && MayGoOn(run, *job)) {]]
  [[  if (never_ran && !draining_) {]])
ferment_mutant(job_to_stop_gets_the_token P2
  coordinator/desks/trainer_desk.cc
  [[  if (draining_ || !MayGoOn(run, *job)) return]]
  [[  if (draining_) return]])
ferment_mutant(run_is_forgotten_at_once T1.3
  coordinator/scheduler/run_retention.cc
  [[ && now - ended_.front().at >= rule_.least]]
  [[]])
ferment_mutant(number_of_a_forgotten_run_is_given_again P3,check
  coordinator/desks/run_desk.cc
  [[book.CountSubmitted() + 1]]
  [[book.run_order().size() + 1]])
ferment_mutant(was_started_beside_the_holder_of_its_token P5
  coordinator/desks/trainer_desk.cc
  [[  if (!gone && HolderMayLive(key, *job)) return;]]
  [[]])
ferment_mutant(was_made_again_although_completed P2,cause
  coordinator/core/pipeline.cc
  [[  if (attempt.completed) return {ExitVerdict::Kind::kSucceeded, {}};]]
  [[  if (attempt.completed && code == 0) return {ExitVerdict::Kind::kSucceeded, {}};]])
ferment_mutant(was_taken_from_before_the_run_was_reopened P2
  coordinator/core/job_book.cc
  [[  job.attempt = {};
  job.attempt.number = number;
  job.failed_attempts = 0;]]
  [[  job.failed_attempts = 0;
  (void)number;]])
ferment_mutant(reopened_run_is_not_gone_on_with P2,live
  coordinator/core/job_book.cc
  [[  Resume(event.run_id);]]
  [[]])
