// The load of every case for k6: one page, which must show a certain text. What differs between cases comes from the
// environment; see bench/wrong_passes_cases.py.
import http from 'k6/http';
import { check } from 'k6';
import { Counter } from 'k6/metrics';

const timeouts = new Counter('upstream_timeouts'); // for the case whose script forgets to count them

export const options = {
  thresholds: JSON.parse(__ENV.CASE_THRESHOLDS),
  scenarios: {
    load: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.CASE_RATE),
      timeUnit: __ENV.CASE_UNIT,
      duration: __ENV.CASE_DURATION,
      preAllocatedVUs: Number(__ENV.CASE_VUS),
      maxVUs: Number(__ENV.CASE_VUS),
      gracefulStop: '5s',
    },
  },
};

export default function () {
  if (Math.random() < Number(__ENV.CASE_SILENT)) return;
  for (let turn = 0; turn < Number(__ENV.CASE_BURN); turn++);
  const response = http.get(__ENV.CASE_URL, { timeout: '1200ms', tags: { name: __ENV.CASE_NAME } });
  check(response, {
    'the page shows what it should': (r) => r.status === 200 && r.body !== null && r.body.includes(__ENV.CASE_TEXT),
  });
}

// asked once after the load, where a case has a metrics server
export function teardown() {
  if (!__ENV.CASE_PROMETHEUS) return;
  const answer = http.get(`${__ENV.CASE_PROMETHEUS}/api/v1/query?query=reviews_errors_total`);
  check(answer, {
    'no errors in the metrics': (r) => Number(r.json('data.result.0.value.1')) === 0,
  });
}
