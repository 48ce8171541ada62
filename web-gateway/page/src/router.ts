// Every view has an address; what is searched, sorted and opened is in its query.
import { createRouter, createWebHistory, type RouteLocationNormalized } from 'vue-router';
import { loadSession, session } from '@/state/session';
import HomePage from '@/pages/HomePage.vue';
import SignInPage from '@/pages/SignInPage.vue';

export const router = createRouter({
  history: createWebHistory(),
  routes: [
    { path: '/', component: HomePage },
    { path: '/sign-in', component: SignInPage, meta: { open: true } },
    { path: '/vms/new', component: () => import('@/pages/VmCreatePage.vue') },
    { path: '/vms/import', component: () => import('@/pages/VmImportPage.vue') },
    { path: '/vms/:id', component: () => import('@/pages/VmPage.vue'), props: true },
    { path: '/environments', component: () => import('@/pages/EnvironmentsPage.vue') },
    { path: '/environments/deploy', component: () => import('@/pages/DeployPage.vue') },
    { path: '/upgrade', component: () => import('@/pages/UpgradePage.vue') },
    { path: '/upgrade/:id', component: () => import('@/pages/RolloutPage.vue'), props: true },
    { path: '/configuration', component: () => import('@/pages/ConfigurationPage.vue') },
    { path: '/configuration/history/:id', component: () => import('@/pages/ConfigurationHistoryPage.vue'), props: true },
    { path: '/profiles', component: () => import('@/pages/ProfilesPage.vue') },
    { path: '/profiles/:id', component: () => import('@/pages/ProfilePage.vue'), props: true },
    { path: '/operations', component: () => import('@/pages/OperationsPage.vue') },
    { path: '/operations/:id', component: () => import('@/pages/OperationPage.vue'), props: true },
    { path: '/events', component: () => import('@/pages/EventsPage.vue') },
    { path: '/log', component: () => import('@/pages/LogPage.vue') },
    { path: '/users', component: () => import('@/pages/UsersPage.vue') },
    { path: '/types', component: () => import('@/pages/TypesPage.vue') },
    { path: '/types/:id', component: () => import('@/pages/TypePage.vue'), props: true },
    { path: '/hypervisors', component: () => import('@/pages/HypervisorsPage.vue') },
    { path: '/health', component: () => import('@/pages/HealthPage.vue') },
    { path: '/self', component: () => import('@/pages/SelfPage.vue') },
    { path: '/:rest(.*)*', component: () => import('@/pages/NotFoundPage.vue') },
  ],
  scrollBehavior: (to, from, saved) => (to.path === from.path ? false : (saved ?? { top: 0 })),
});

// Only paths of this page: an address with a host in it would lead elsewhere after signing in.
export function target(to: RouteLocationNormalized): string {
  const next = to.query.next;
  return typeof next === 'string' && /^\/(?![/\\])/.test(next) ? next : '/';
}

router.beforeEach(async (to) => {
  if (!session.loaded) {
    try {
      await loadSession();
    } catch {
      // The page says that the server is away, and asks again.
      return to.meta.open ? true : { path: '/sign-in', query: { next: to.fullPath } };
    }
  }
  if (to.meta.open) return session.user ? target(to) : true;
  if (!session.user) return { path: '/sign-in', query: to.fullPath === '/' ? {} : { next: to.fullPath } };
  if (session.user.mustChangePassword && to.path !== '/self') return '/self';
  return true;
});
