// How similar audiences of several sizes are to the seed audience.

export interface Metrics {
  readonly relevanceMetrics: ReadonlyArray<{
    readonly audienceSize: { readonly type: string; readonly value: number };
    readonly score?: number | null;
  }>;
  readonly recallMetric?: number | null;
}

const MAX_SCORE = 10;
const WIDTH = 320;
const HEIGHT = 120;
const LABEL = 18;

export function MetricsChart({ metrics }: { readonly metrics: Metrics }) {
  const bars = metrics.relevanceMetrics.map(({ audienceSize, score }) => ({
    size: `${audienceSize.value.toLocaleString()}${audienceSize.type === "PERCENTAGE" ? " %" : ""}`,
    score: score ?? 0,
    label: score?.toFixed(1) ?? "none",
  }));
  const step = WIDTH / Math.max(bars.length, 1);
  const scale = (HEIGHT - 2 * LABEL) / MAX_SCORE;
  const alternative = bars.map(({ size, label }) => `${size}: ${label}`).join(", ");
  return (
    <figure className="metrics">
      <figcaption>Relevance by audience size, 0 to {MAX_SCORE}</figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`Relevance: ${alternative}`}>
        {bars.map(({ size, score, label }, index) => {
          const middle = (index + 0.5) * step;
          const top = HEIGHT - LABEL - score * scale;
          return (
            <g key={size}>
              <rect x={middle - 24} y={top} width="48" height={score * scale} rx="3" />
              <text x={middle} y={top - 5}>
                {label}
              </text>
              <text x={middle} y={HEIGHT - 4} className="size">
                {size}
              </text>
            </g>
          );
        })}
        <line x1="0" x2={WIDTH} y1={HEIGHT - LABEL} y2={HEIGHT - LABEL} />
      </svg>
      {metrics.recallMetric != null && (
        <p>
          Recall: <strong>{(metrics.recallMetric * 100).toFixed(1)} %</strong> of the seed audience
        </p>
      )}
    </figure>
  );
}
