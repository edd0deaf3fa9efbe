import { EVERYTHING, Filters } from "example-common";
import { useState } from "react";
import { JobCounts } from "./JobCounts";
import { JobDetails } from "./JobDetails";
import { JobList } from "./JobList";

/** The filters, the table, and the panel of the job that is open. */
export function JobsPage() {
  const [view, setView] = useState(EVERYTHING);
  const [reloads, setReloads] = useState(0); // each is a new table, with new counts
  const [openArn, setOpenArn] = useState<string | null>(null);
  return (
    <div className="page">
      <div className="list">
        <Filters view={view} onChange={setView} onReload={() => setReloads(reloads + 1)}>
          <JobCounts key={reloads} view={view} onChange={setView} />
        </Filters>
        <JobList key={reloads} view={view} onChange={setView} openArn={openArn} onOpen={setOpenArn} />
      </div>
      {openArn && (
        <JobDetails key={openArn} arn={openArn} onChange={setView} onClose={() => setOpenArn(null)} />
      )}
    </div>
  );
}
