import { useEffect, useRef } from "react";

interface Props {
  readonly hasMore: boolean;
  readonly isLoading: boolean;
  /** Not while there is a problem: scrolling must not repeat what failed. */
  readonly isPaused: boolean;
  readonly loadMore: () => void;
}

/** The end of the table: loads the next page when it comes into view, or at the press of a button. */
export function LoadMore({ hasMore, isLoading, isPaused, loadMore }: Props) {
  const end = useRef<HTMLDivElement>(null);
  const canLoad = hasMore && !isLoading && !isPaused;

  // Observed again after each page: the end may still be in view after a short one.
  useEffect(() => {
    if (!canLoad || !end.current) return;
    // A busy page gets several changes at once: the last one is how it is now.
    const observer = new IntersectionObserver(
      (entries) => entries.at(-1)?.isIntersecting && loadMore(),
      { rootMargin: "300px" },
    );
    observer.observe(end.current);
    return () => observer.disconnect();
  }, [canLoad, loadMore]);

  return (
    <div ref={end} className="load-more">
      {hasMore ? (
        <button type="button" onClick={loadMore} disabled={isLoading}>
          {isLoading ? "Loading …" : "Load more"}
        </button>
      ) : (
        <p>End of the list</p>
      )}
    </div>
  );
}
