// Runs the audits of the package graphql-http against a service and prints a JSON line for each.
import { serverAudits } from 'graphql-http';

for (const audit of serverAudits({ url: process.argv[2], fetchFn: fetch })) {
  const { status, name, reason } = await audit.fn();
  console.log(JSON.stringify({ name, status, reason }));
}
