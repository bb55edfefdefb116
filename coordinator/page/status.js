// SPDX-License-Identifier: Apache-2.0
//
// Reads /api/runs once a second and draws it. Numbers of 64 bits arrive as text, as proto3 JSON writes them.
'use strict';

const kInterval = 1000;
const kKept = 600;
const curves = new Map(); // run/job/figure -> values
const shown = ['loss', 'student_loss', 'loss_labelled', 'loss_unlabelled', 'h', 'macro_f1', 'accuracy', 'canary_accuracy'];

const at = (id) => document.getElementById(id);
const word = (text, prefix) => (text || '').replace(prefix, '').toLowerCase();
const number = (value) => Number(value || 0);

function make(tag, text, name) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  return element;
}

function short(value) {
  const size = Math.abs(value);
  if (size >= 1e9) return (value / 1e9).toFixed(1) + 'G';
  if (size >= 1e6) return (value / 1e6).toFixed(1) + 'M';
  if (size >= 1e4) return (value / 1e3).toFixed(1) + 'k';
  if (Number.isInteger(value)) return String(value);
  return size >= 0.01 ? value.toFixed(3) : value.toExponential(1);
}

function time(seconds) {
  const all = Math.round(number(seconds));
  const two = (value) => String(value).padStart(2, '0');
  const hours = Math.floor(all / 3600);
  const rest = two(Math.floor(all / 60) % 60) + ':' + two(all % 60);
  return hours ? hours + ':' + rest : rest.replace(/^0/, '');
}

const share = (job) => (number(job.total) ? Math.min(1, number(job.done) / number(job.total)) : 0);
const unit = (job) => (job.phase === 'label' || job.phase === 'features' ? 'shards' : 'steps');

function choose(runs) {
  const wanted = decodeURIComponent(location.hash.slice(1));
  return runs.find((run) => run.run_id === wanted) || runs.find((run) => word(run.state, 'RUN_STATE_') === 'running') || runs[0];
}

function drawRuns(runs, chosen) {
  at('runs').replaceChildren(...runs.slice(0, 12).map((run) => {
    const link = make('a', run.name || run.run_id, run === chosen ? 'chosen' : '');
    link.href = '#' + encodeURIComponent(run.run_id);
    link.title = run.run_dir;
    return link;
  }));
}

function drawGraph(jobs) {
  at('graph').replaceChildren(...jobs.map((job) => {
    const state = word(job.state, 'JOB_STATE_');
    const node = make('li', undefined, state);
    node.style.setProperty('--share', share(job) * 100 + '%');
    const line = state === 'running' ? Math.floor(share(job) * 100) + ' %' : state === 'succeeded' ? time(job.seconds) : state;
    node.append(make('b', job.job_id), make('span', line));
    return node;
  }));
}

function drawNow(job) {
  at('now').hidden = !job;
  if (!job) return;
  at('now-title').textContent = job.job_id;
  at('now-bar').style.width = share(job) * 100 + '%';
  at('now-bar').parentElement.setAttribute('aria-valuenow', Math.floor(share(job) * 100));
  const left = number(job.done) ? number(job.seconds) / number(job.done) * (number(job.total) - number(job.done)) : 0;
  at('now-line').textContent = number(job.done) + ' of ' + number(job.total) + ' ' + unit(job) +
    (number(job.rate) ? ', ' + short(Math.round(number(job.rate))) + ' a second' : '') + ', ' + time(job.seconds) + ' so far' + (left ? ', about ' + time(left) + ' left' : '');
  at('figures').replaceChildren(...Object.keys(job.metrics || {}).sort().slice(0, 10).map((name) => {
    const pair = make('div');
    pair.append(make('dt', name), make('dd', short(number(job.metrics[name]))));
    return pair;
  }));
}

function remember(run) {
  for (const job of run.jobs || []) {
    if (word(job.state, 'JOB_STATE_') !== 'running') continue;
    for (const name of shown) {
      if (!job.metrics || job.metrics[name] === undefined) continue;
      const key = [run.run_id, job.job_id, name].join('/');
      const values = curves.get(key) || [];
      values.push([number(job.done), number(job.metrics[name])]);
      if (values.length > kKept) values.shift();
      curves.set(key, values);
    }
  }
}

function drawCurves(run, job) {
  at('curve-of').textContent = job ? job.job_id + ', since this page was opened' : '';
  const rows = [];
  for (const name of shown) {
    const values = job && curves.get([run.run_id, job.job_id, name].join('/'));
    if (!values || values.length < 2) continue;
    const ys = values.map((value) => value[1]);
    const [low, high] = [Math.min(...ys), Math.max(...ys)];
    const [first, last] = [values[0][0], values[values.length - 1][0]];
    const x = (value) => (last > first ? (value - first) / (last - first) : 0) * 200;
    const y = (value) => 36 - (high > low ? (value - low) / (high - low) : 0.5) * 34;
    const picture = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    picture.setAttribute('viewBox', '0 0 200 38');
    picture.setAttribute('preserveAspectRatio', 'none');
    const line = document.createElementNS('http://www.w3.org/2000/svg', 'polyline');
    line.setAttribute('points', values.map((value) => x(value[0]).toFixed(1) + ',' + y(value[1]).toFixed(1)).join(' '));
    picture.append(line);
    const row = make('div', undefined, 'curve');
    row.append(make('span', name), picture, make('output', short(ys[ys.length - 1])));
    rows.push(row);
  }
  at('curves').replaceChildren(...(rows.length ? rows : [make('p', 'No figures yet.', 'quiet')]));
}

function drawGrid(job) {
  const letters = (job && job.shards && job.shards.grid) || '';
  at('shards-of').textContent = job ? job.job_id + ': ' + number(job.shards.committed) + ' of ' + letters.length : 'none yet';
  const canvas = at('grid');
  const wide = canvas.clientWidth || 600;
  const cell = letters.length > 4000 ? 4 : letters.length > 600 ? 8 : 16;
  const columns = Math.max(1, Math.floor(wide / cell));
  const scale = window.devicePixelRatio || 1;
  const tall = Math.max(cell, Math.ceil(letters.length / columns) * cell);
  canvas.width = wide * scale;
  canvas.height = tall * scale;
  canvas.style.height = tall + 'px';
  const style = getComputedStyle(document.documentElement);
  const colours = { c: '--done', l: '--now', p: '--wait', f: '--fail' };
  const pen = canvas.getContext('2d');
  pen.scale(scale, scale);
  for (let shard = 0; shard < letters.length; ++shard) {
    pen.fillStyle = style.getPropertyValue(colours[letters[shard]] || '--wait');
    pen.fillRect((shard % columns) * cell, Math.floor(shard / columns) * cell, cell - 1, cell - 1);
  }
}

function row(cells) {
  const line = make('tr');
  line.append(...cells.map((cell) => make('td', cell)));
  return line;
}

function standing(labeler) {
  const failures = number(labeler.failures_in_a_row);
  const left = Math.ceil(number(labeler.cool_down_seconds));
  if (failures === 0) return '';
  return failures + ' in a row' + (left > 0 ? ', cools down for ' + left + ' s' : '');
}

function drawLabelers(labelers) {
  at('labelers').tBodies[0].replaceChildren(...labelers.map((labeler) =>
    row([labeler.name, short(number(labeler.shards_committed)), short(number(labeler.records)), short(Math.round(number(labeler.rate))),
      standing(labeler)])));
}

function drawHistogram(job, classes) {
  const counts = ((job && job.records && job.records.class_histogram) || []).map(number);
  const most = Math.max(1, ...counts);
  const rows = counts.map((count, index) => {
    const line = make('div', undefined, 'column');
    const bar = make('i');
    bar.style.width = count / most * 100 + '%';
    line.append(make('span', classes[index] || 'class ' + index), bar, make('output', short(count)));
    return line;
  });
  at('histogram').replaceChildren(...(rows.length ? rows : [make('p', 'None yet.', 'quiet')]));
}

function drawPhases(jobs) {
  at('phases').tBodies[0].replaceChildren(...jobs.map((job) => row([
    job.job_id, word(job.state, 'JOB_STATE_'), number(job.done) + '/' + number(job.total), time(job.seconds), time(job.cpu_seconds),
    number(job.peak_rss_bytes) ? (number(job.peak_rss_bytes) / 2 ** 20).toFixed(0) + ' MiB' : '', short(number(job.samples)), number(job.attempts) || '',
    job.waiting || Object.keys(job.metrics || {}).filter((name) => shown.includes(name)).map((name) => name + ' ' + short(number(job.metrics[name]))).join('  ')])));
}

function draw(runs) {
  at('empty').hidden = runs.length > 0;
  at('run').hidden = runs.length === 0;
  if (!runs.length) return;
  const run = choose(runs);
  const jobs = run.jobs || [];
  const state = run.ending ? 'ending' : run.suspended ? 'suspended' : word(run.state, 'RUN_STATE_');
  drawRuns(runs, run);
  at('name').textContent = run.name || run.run_id;
  at('folder').textContent = run.run_dir;
  at('state').textContent = state;
  at('state').className = 'chip ' + state;
  const leftOut = jobs.find((job) => job.failure && word(job.state, 'JOB_STATE_') === 'skipped');
  const reason = run.failure || (leftOut ? leftOut.job_id + ' ' + leftOut.failure : '');
  at('failure').hidden = !reason;
  at('failure').textContent = reason;
  drawGraph(jobs);
  const running = jobs.find((job) => word(job.state, 'JOB_STATE_') === 'running');
  const withShards = jobs.filter((job) => job.shards && job.shards.grid);
  const withRecords = jobs.filter((job) => job.records && (job.records.class_histogram || []).length);
  drawNow(running);
  const trained = running && Object.keys(running.metrics || {}).length ? running : jobs.filter((job) => curves.has([run.run_id, job.job_id, 'loss'].join('/'))).pop();
  drawCurves(run, trained);
  drawGrid(withShards[withShards.length - 1]);
  drawLabelers(run.labelers || []);
  drawHistogram(withRecords[withRecords.length - 1], run.classes || []);
  drawPhases(jobs);
}

let latest = [];

async function look() {
  try {
    const reply = await fetch('/api/runs', { cache: 'no-store' });
    if (!reply.ok) throw new Error(reply.status);
    const answer = await reply.json();
    latest = Array.isArray(answer) ? answer : answer.runs || [];
    latest.forEach(remember);
    draw(latest);
    at('link').textContent = 'live';
    at('link').className = 'link';
  } catch (error) {
    at('link').textContent = 'the coordinator does not answer';
    at('link').className = 'link lost';
  }
  setTimeout(look, kInterval);
}

window.addEventListener('hashchange', () => draw(latest));
look();
