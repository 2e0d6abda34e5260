#ifndef COUNTERSIGN_SERVICES_LIAISON_WORKERS_REFRESHER_H_
#define COUNTERSIGN_SERVICES_LIAISON_WORKERS_REFRESHER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/metrics/metrics.h"
#include "common/rpc/channel.h"
#include "services/liaison/clients/backend_client.h"
#include "services/liaison/clients/call_group.h"
#include "services/liaison/clients/package_store_client.h"
#include "services/liaison/storage/liaison_store.h"

namespace countersign::liaison {

// Asks manufacturers' backends for what is new, and brings it to the package store: releases, images, role
// metadata (HOME-3, 4, 5). One replica asks one backend at a time. What a round did stays when it fails in
// the middle, and the next goes on from there. A backend is believed nothing that the store or the release's
// rules do not confirm: what is wrong with one release is recorded as the manufacturer's last error, and does
// not stop the others.
class Refresher {
 public:
  struct Parts {
    LiaisonStore& store;
    PackageStoreClient& package_store;
    const rpc::Dialer& dialer;
    CallGroup& calls;
    metrics::Registry& registry;
    const Clock& clock;
    absl::Duration interval;      // between two questions to one backend
    absl::Duration stall_window;  // see BackendClient::DownloadImage
  };

  explicit Refresher(const Parts& parts);

  // Asks every backend whose time has come and that no other thread or replica is asking: several threads may
  // run it, so that a backend that takes its time does not keep the others waiting. When the calls are
  // cancelled, another replica may go on at once.
  absl::Status Round();

 private:
  // Refresh while the lease is renewed, so that no other replica begins.
  absl::Status RefreshHoldingLease(const domain::Manufacturer& manufacturer);
  // What went wrong, joined; OK when nothing did.
  absl::Status Refresh(const domain::Manufacturer& manufacturer);
  // One release: known, its image in the store, available.
  absl::Status Retrieve(const domain::Manufacturer& manufacturer, BackendClient& backend,
                        const domain::Release& release);
  absl::Status Propose(const domain::Manufacturer& manufacturer, BackendClient& backend);

  const Parts parts_;
  const std::string owner_;  // of leases: this process
  const metrics::CounterFamily refreshes_;
};

// Delivers the operator's notices to manufacturers' backends until they are acknowledged (HOME-3).
class Messenger {
 public:
  struct Parts {
    LiaisonStore& store;
    const rpc::Dialer& dialer;
    CallGroup& calls;
    const Clock& clock;
    absl::Duration retry;
  };

  explicit Messenger(const Parts& parts) : parts_(parts) {}

  absl::Status Round();

 private:
  const Parts parts_;
};

}  // namespace countersign::liaison

#endif  // COUNTERSIGN_SERVICES_LIAISON_WORKERS_REFRESHER_H_
